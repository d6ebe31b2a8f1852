"""What completes the command that is being typed, and the hint under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...engines.events import EngineError
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from .grammar import Call, Choice, Choices, Command, named, parse
from .matching import SURE, matching

LISTED = 50  # at most


@dataclass(frozen=True, slots=True)
class Suggestion:
    insert: str  # the whole line after accepting
    label: str
    hint: str
    sure: bool = False  # Enter takes it, as what is typed so far cannot be meant


def suggest(line: str, commands: Sequence[Command], chat: Chat) -> list[Suggestion]:
    """Completions of a command's name, then of the argument that is being typed."""
    if not line.startswith("/") or "\n" in line or line.startswith("//"):
        return []
    name, blank, rest = line[1:].partition(" ")
    if not blank:
        return _names(name, commands, chat)
    command = named(commands).get(name.lower())
    typed = _typed(command, rest) if command else []
    if not command or not typed:
        return []
    return _words(line, _choices(command, typed, chat))


def hint(line: str, commands: Sequence[Command], chat: Chat) -> str:
    """The grammar of the command being typed, or "" where there is none."""
    match parse(line, commands):
        case Call(command=command, rest=rest):
            typed = _typed(command, rest) if " " in line else []
            about = _takes(command, len(typed) - 1) if typed else command.summary
            now = value_now(command, chat)
            parts = [command.usage, f"now {now}" if now else "", about]
            parts += [command.example] if typed else []
            return " · ".join(filter(None, parts))
        case _:
            return ""


def value_now(command: Command, chat: Chat) -> str:
    """In force, or "" where the command sets none."""
    return one_line(command.now(chat), 60) if command.now else ""


def _names(name: str, commands: Sequence[Command], chat: Chat) -> list[Suggestion]:
    whole = name.lower() in named(commands)
    found = matching(name, commands, lambda each: (each.name, *each.aliases))
    return [
        Suggestion(
            f"/{each.name}" + (" " if each.arguments else ""),
            each.usage,
            _about(each, chat),
            sure=not whole and rank <= SURE,
        )
        for rank, each in found
    ]


def _about(command: Command, chat: Chat) -> str:
    now = value_now(command, chat)
    return f"now {now} · {command.summary}" if now else command.summary


def _words(line: str, choices: Choices) -> list[Suggestion]:
    """None where the word is whole: then Enter sends it."""
    stem = choices.stem
    found = matching(stem, choices.words, lambda each: (each.word,))
    if any(each.word == stem for _, each in found):
        return []
    kept = line[: len(line) - len(stem)]
    return [
        Suggestion(
            kept + each.word,
            each.word,
            one_line(each.hint),
            sure=bool(stem) and not choices.free and rank <= SURE,
        )
        for rank, each in found[:LISTED]
    ]


def _choices(command: Command, typed: Sequence[str], chat: Chat) -> Choices:
    argument = command.arguments[len(typed) - 1]
    if argument.complete:
        try:
            return argument.complete(chat, typed)
        except EngineError:  # told by the command
            return Choices(typed[-1], ())
    now = value_now(command, chat)
    words = [Choice(each, "now" if each == now else "") for each in argument.words]
    return Choices(typed[-1], words)


def _typed(command: Command, rest: str) -> list[str]:
    """The arguments so far, the last one still being typed; [] where there are too many."""
    typed: list[str] = []
    for argument in command.arguments:
        rest = rest.lstrip()
        word, blank, after = (rest, "", "") if argument.rest else rest.partition(" ")
        typed.append(word)
        if not blank:
            return typed
        rest = after
    return []


def _takes(command: Command, at: int) -> str:
    """Of the argument being typed; its words are in the list."""
    argument = command.arguments[at]
    if argument.words:
        return command.summary
    return f"{argument.name}: {argument.takes}" if len(command.arguments) > 1 else argument.takes
