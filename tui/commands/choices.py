"""What completes the arguments whose words are not fixed: names, files, methods, settings."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ...engines.options import SELF, Sampling, Spec, limits
from ...sessions import figures
from ...sessions.bench.methods import NAMES, WORDS
from ...sessions.bench.scenarios import GROUPS, SCENARIOS
from ...sessions.chat import Chat
from ...sessions.places import (
    Session,
    deleted_folder,
    list_sessions,
    results_folder,
    session_folder,
)
from ...sessions.prompts import PROMPTS
from .decoding import DECODING
from .grammar import Argument, Choice, Choices, Command, Complete, named
from .settings import shown

LOOKED_AT = 5_000  # entries of a folder
WITH = re.compile(r"(?:^|\s)with\s+", re.IGNORECASE)
BEGINS_PATH = ("/", "~", ".")


def completed(commands: Sequence[Command]) -> tuple[Command, ...]:
    """`commands` with what completes their arguments."""
    return tuple(
        replace(each, arguments=_given(each.arguments, COMPLETES.get(each.name, ())))
        for each in commands
    )


def sessions(_chat: Chat, typed: Sequence[str]) -> Choices:
    return Choices(typed[-1], _named(list_sessions(session_folder())))


def of_session_verb(_chat: Chat, typed: Sequence[str]) -> Choices:
    """After show, delete and restore a name; the first word after rename as a shell has it."""
    verb, rest = typed[0].lower(), typed[-1]
    match verb:
        case "show" | "delete":
            return Choices(rest, _named(list_sessions(session_folder())))
        case "restore":
            return Choices(rest, _named(list_sessions(deleted_folder(session_folder()))))
        case "rename":
            found = _named(list_sessions(session_folder()))
            return Choices(rest, [each._replace(word=shlex.quote(each.word)) for each in found])
        case "list":
            return Choices(rest, [Choice("deleted", "those that can be restored")])
        case _:
            return Choices(rest, (), free=True)


def path(*suffixes: str, besides: Sequence[Choice] = ()) -> Complete:
    """Folders, and files that end so; `besides` are words that are no path."""

    def complete(_chat: Chat, typed: Sequence[str]) -> Choices:
        found = _files(typed[-1], suffixes)
        words = besides if found.stem == typed[-1] else ()
        return replace(found, words=[*words, *found.words])

    return complete


def path_alone(_chat: Chat, typed: Sequence[str]) -> Choices:
    """Where a name stands otherwise, which is new."""
    given = typed[-1]
    return _files(given, ()) if given.startswith(("/", "~")) else Choices(given, (), free=True)


def methods(_chat: Chat, typed: Sequence[str]) -> Choices:
    """The last of several, each of which is words and NAME=VALUE between spaces or +."""
    stem = re.split(r"[\s,+]", typed[-1])[-1]
    name, equals, value = stem.partition("=")
    if equals:
        return Choices(value, _values_of(name.lower()), free=True)
    words = [Choice(word, _sets(word, changes)) for word, changes in WORDS.items()]
    settings = [Choice(f"{name}=", _about(name)) for name in sorted(NAMES)] if stem else []
    return Choices(stem, [*words, *settings], free=True)


def prompts_and_methods(chat: Chat, typed: Sequence[str]) -> Choices:
    """Methods after `with`, else prompts or files of them."""
    if WITH.search(typed[-1]):
        return methods(chat, typed)
    stem = re.split(r"[\s,]", typed[-1])[-1]
    if stem.startswith(BEGINS_PATH):
        return _files(stem, (".jsonl", ".json", ".txt"))
    exact = [Choice(name, each.about) for name, each in SCENARIOS.items()]
    texts = [Choice(name, "a built-in prompt") for name in PROMPTS]
    groups = [Choice(name, figures.counted(len(each), "prompt")) for name, each in GROUPS.items()]
    return Choices(stem, [*texts, *exact, *groups, _THEN_METHODS], free=True)


def session_and_methods(chat: Chat, typed: Sequence[str]) -> Choices:
    if WITH.search(typed[-1]):
        return methods(chat, typed)
    return Choices(typed[-1], [_THEN_METHODS, *_named(list_sessions(session_folder()))], free=True)


def settings(chat: Chat, typed: Sequence[str]) -> Choices:
    words = [Choice(name, f"now {shown(chat, name)} · {_about(name)}") for name in sorted(NAMES)]
    return Choices(typed[-1], words)


def comparable(chat: Chat, typed: Sequence[str]) -> Choices:
    """Methods, kept results, and quant."""
    found = methods(chat, typed)
    stem = re.split(r",\s*", typed[-1])[-1]
    if stem != found.stem:  # words of a method stand before it
        return found
    alone = [Choice("quant", "the weights in every form")] if stem == typed[-1] else []
    results = [Choice(name, "a kept result") for name, _ in reversed(_entries(results_folder()))]
    return replace(found, words=[*alone, *found.words, *results])


def _given(
    arguments: Sequence[Argument], completes: Sequence[Complete | None]
) -> tuple[Argument, ...]:
    known = [*completes, *[None] * len(arguments)]
    return tuple(
        replace(argument, complete=complete) if complete else argument
        for argument, complete in zip(arguments, known, strict=False)
    )


def _named(found: Iterable[Session]) -> list[Choice]:
    return [
        Choice(each.name, f"{datetime.fromtimestamp(each.modified):%Y-%m-%d %H:%M}")
        for each in found
    ]


def _files(given: str, suffixes: tuple[str, ...]) -> Choices:
    """Folders first. Hidden ones only where a dot asks for them."""
    head, slash, stem = given.rpartition("/")
    if given.startswith("~") and not slash:
        return Choices(given, [Choice("~/", "your home folder")], free=True)
    names = [
        (f"{name}/" if folder else name)
        for name, folder in _entries(_expanded(head + slash))
        if folder or not suffixes or name.lower().endswith(suffixes)
    ]
    seen = [each for each in names if each.startswith(".") == stem.startswith(".")]
    ordered = sorted(seen, key=lambda each: (not each.endswith("/"), each.casefold()))
    return Choices(stem, [Choice(each) for each in ordered], free=True)


def _expanded(folder: str) -> Path:
    try:
        return Path(folder or ".").expanduser()
    except RuntimeError:  # no such home
        return Path(folder)


def _entries(folder: Path) -> tuple[tuple[str, bool], ...]:
    """By name, with whether each is a folder."""
    try:
        return _read(folder, folder.stat().st_mtime_ns)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=8)
def _read(folder: Path, _changed: int) -> tuple[tuple[str, bool], ...]:
    """Once for every key that is typed would be too often. What cannot be typed is left out."""
    with os.scandir(folder) as entries:
        found = [(each.name, _is_folder(each)) for each in islice(entries, LOOKED_AT)]
    return tuple(sorted(each for each in found if each[0].isprintable()))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _values_of(name: str) -> list[Choice]:
    return [Choice(word) for word in _rule(name).get("names", ())]


def _sets(word: str, changes: Mapping[str, object]) -> str:
    if command := _METHODS.get(word):
        return command.summary
    return next(map(_about, changes), "as it was recorded")


def _about(name: str) -> str:
    return str(_rule(name).get("about", ""))


def _rule(name: str) -> Mapping[str, Any]:
    owners = (each for each in (Spec, Sampling) if name in each.__annotations__)
    return next((limits(each, name) for each in owners), {})


_METHODS = named(DECODING)
_THEN_METHODS = Choice("with ", "then methods, such as plain, suffix")
_INCLUDED = Choice(Spec().model, "the included model")
COMPLETES: Mapping[str, Sequence[Complete | None]] = {
    "load": (sessions,),
    "save": (path_alone,),
    "sessions": (None, of_session_verb),
    "export": (None, path()),
    "model": (path(".gguf", besides=[_INCLUDED]),),
    "llama": (path(".gguf"),),
    "drafter": (path(".gguf", besides=[Choice(SELF, "the model's own first layers")]),),
    "race": (methods,),
    "bench": (prompts_and_methods,),
    "sweep": (settings, None, prompts_and_methods),
    "replay": (session_and_methods,),
    "compare": (comparable,),
}
