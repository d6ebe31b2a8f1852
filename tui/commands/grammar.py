"""How a typed line becomes text, a command or a problem; commands declare themselves once and
parsing, hints, completion and help all follow from that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from ...engines.events import Progress
from ...engines.options import Options, limits
from ...sessions.chat import Chat

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Live:
    """What a job says as it grows, such as a table that fills: it takes the place of the Live
    before it. Where nothing can be replaced, the last one of a row is said."""

    text: str


Said = str | Progress | Live
Told = Iterator[Said]
Job = Callable[[], Told]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command answers; `ok` False means the typed line should be kept for mending.
    `action` asks the screen for something only it can do: see actions.py. A `job` takes long: it
    runs beside the screen, its texts are shown as they come, and it can be cancelled."""

    text: str
    action: str | None = None
    ok: bool = True
    job: Job | None = None


class ArgumentError(Exception):
    """What the argument should have been, to follow "takes"."""


class Choice(NamedTuple):
    """A word that completes what is typed, and what it means or is now."""

    word: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What may take the place of `stem`, the end of what is typed; `free` where anything may."""

    stem: str
    words: Sequence[Choice]
    free: bool = False


Complete = Callable[[Chat, Sequence[str]], Choices]  # of the arguments so far, the last unfinished


@dataclass(frozen=True, slots=True)
class Argument:
    name: str  # as in the usage line
    takes: str  # what it takes, in words
    parse: Callable[[str], Value]  # raises ArgumentError
    words: tuple[str, ...] = ()  # for completion
    optional: bool = False
    rest: bool = False  # the whole rest of the line, spaces kept
    complete: Complete | None = None  # where the words depend on the chat or the disk

    @property
    def usage(self) -> str:
        return f"[{self.name}]" if self.optional else self.name


Run = Callable[[Chat, tuple[Value, ...]], Reply]


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    summary: str
    run: Run
    arguments: tuple[Argument, ...] = ()
    example: str = ""
    aliases: tuple[str, ...] = ()
    idle: bool = False  # refused while an answer streams
    now: Callable[[Chat], str] | None = None  # the value in force

    @property
    def usage(self) -> str:
        return " ".join([f"/{self.name}", *(each.usage for each in self.arguments)])


@dataclass(frozen=True, slots=True)
class Text:
    """A message for the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    command: Command
    rest: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence to show; the typed line stays where it is."""

    sentence: str


_NAME = re.compile(r"/([A-Za-z_][A-Za-z_0-9]*)(?:\s+|$)")
_HYPHENED = re.compile(r"/([A-Za-z_-]+)(?:\s+|$)")
AS_TEXT = "To send it as text, begin with // or a space."


def parse(line: str, commands: Sequence[Command]) -> Text | Call | Problem:
    """A command is a "/" in the first column, a known name in either case, then a space or the
    end. `//x` sends `/x`; a first word that is no name, such as /etc/hosts, is text."""
    if line.startswith("//"):
        return Text(line[1:])
    match, known = _NAME.match(line), named(commands)
    if match and (command := known.get(match[1].lower())):
        return Call(command, line[match.end() :])
    meant = _meant(line, known)
    if not match and not meant:
        return Text(line)
    told = f"Did you mean {meant}?" if meant else "/help lists the commands."
    return Problem(f"There is no command {line.split(maxsplit=1)[0]}. {told} {AS_TEXT}")


def named(commands: Sequence[Command]) -> dict[str, Command]:
    """By name and alias."""
    return {name: each for each in commands for name in (each.name, *each.aliases)}


def as_line(text: str) -> str:
    """What is typed to send `text` to the model."""
    return f"/{text}" if text.startswith("/") else text


def at_work(what: str) -> str:
    """A refusal that holds until the answer, or the trial, is at its end."""
    return f"/{what} needs the model, which is at work: Enter tries again, Esc ends that work."


def run(chat: Chat, call: Call) -> Reply:
    command = call.command
    if command.idle and chat.busy:
        return Reply(at_work(command.name), ok=False)
    try:
        values = _values(command, call.rest)
    except ArgumentError as error:
        now = f" Now {command.now(chat)}." if command.now else ""
        example = f" Example: {command.example}" if command.example else ""
        return Reply(f"/{command.name} takes {error}.{now}{example}", ok=False)
    return command.run(chat, values)


def whole(name: str, low: int, high: int, off: str = "", optional: bool = False) -> Argument:
    takes = f"a whole number from {low} to {high}" + (f", or {off}" if off else "")

    def parse_whole(text: str) -> Value:
        if off and text.lower() == off:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ArgumentError(f"{takes}, not {text!r}")
        return int(text)

    return Argument(name, takes, parse_whole, (off,) if off else (), optional)


def number(name: str, low: float, high: float, optional: bool = False) -> Argument:
    takes = f"a number from {low:g} to {high:g}"

    def parse_number(text: str) -> Value:
        if not re.fullmatch(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})", text):
            raise ArgumentError(f"{takes}, not {text!r}")
        if not low <= float(text) <= high:
            raise ArgumentError(f"{takes}, not {text!r}")
        return float(text)

    return Argument(name, takes, parse_number, (), optional)


def option(options: type[Options], field: str, name: str, optional: bool = False) -> Argument:
    """The argument that a declared option field takes."""
    rule = limits(options, field)
    if "names" in rule:
        return word("|".join(rule["names"]), rule["names"], optional)
    if "float" in options.__annotations__[field]:
        return number(name, rule["low"], rule["high"], optional)
    return whole(name, rule["low"], rule["high"], rule["off"], optional)


def word(name: str, words: tuple[str, ...], optional: bool = False) -> Argument:
    def parse_word(text: str) -> Value:
        if text.lower() not in words:
            near = get_close_matches(text.lower(), words, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ArgumentError(f"{takes}, not {text!r}{meant}")
        return text.lower()

    takes = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return Argument(name, takes, parse_word, words, optional)


def any_word(name: str, takes: str, complete: Complete | None = None) -> Argument:
    """One word, whatever it is."""
    return Argument(name, takes, lambda given: given, complete=complete)


def text(
    name: str, takes: str, optional: bool = False, complete: Complete | None = None
) -> Argument:
    return Argument(name, takes, lambda given: given, (), optional, True, complete)


def _meant(line: str, known: Mapping[str, Command]) -> str:
    """The line's beginning with the name that was meant: one written with a hyphen or a space for
    its underscore, or left out before its value, else one that is spelled nearly so."""
    named_so = _NAME.match(line)
    value = named_so[1].lower() if named_so else ""
    for command in known.values():
        if command.arguments and value in command.arguments[0].words:
            return f"/{command.name} {value}"
    match = _HYPHENED.match(line)
    if not match:
        return ""
    word, (after, _) = match[1].lower().replace("-", "_"), _first_word(line[match.end() :])
    joined = f"{word}_{after.lower()}"
    if joined in known:
        return f"/{joined}"
    if "-" in match[1]:
        return f"/{word}" if word in known else ""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"/{near[0]}" if near else ""


def _values(command: Command, rest: str) -> tuple[Value, ...]:
    values: list[Value] = []
    left = rest
    for argument in command.arguments:
        given, left = (left.strip(), "") if argument.rest else _first_word(left)
        if given:
            values.append(argument.parse(given))
        elif not argument.optional:
            raise ArgumentError(argument.takes)
    if left.strip():
        raise ArgumentError(f"{_count(command)}, and {left.strip()!r} is left over")
    return tuple(values)


def _first_word(line: str) -> tuple[str, str]:
    head, *tail = line.split(None, 1) or [""]
    return head, "".join(tail)


def _count(command: Command) -> str:
    names = " ".join(each.usage for each in command.arguments)
    return names or "no argument"
