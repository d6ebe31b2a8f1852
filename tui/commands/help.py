"""/help: the list of commands, one of them, the keys, and where to begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from ...sessions.chat import Chat
from ...sessions.own_figures import figure_lines, measured_here
from . import grammar
from .completing import value_now
from .grammar import Choice, Choices, Command, Reply, Said, Value

COMMAND_KEYS = {
    "help": "F1",
    "hud": "F2",
    "turns": "F3",
    "sessions": "F4",
    "results": "F5",
    "engine": "F6",
    "settings": "F7",
    "copy": "Ctrl+O",
}
KEYS = (
    ("Enter", "send, or take the marked row of the list"),
    ("Ctrl+J, Shift+Enter", "break the line"),
    ("Tab", "complete"),
    ("Up, Down", "recall what was sent; move in the list"),
    ("Esc", "close the list; cancel the answer; put a refused command away"),
    ("PageUp, PageDown, End", "scroll the conversation, and back to its end"),
    ("Ctrl+P", "find a command"),
    *((key, f"/{name}") for name, key in COMMAND_KEYS.items()),
    ("Ctrl+C", "copy what is selected, else cancel, else clear; twice quits"),
    ("//text", "sends a text that begins with a slash"),
)
FIRST_STEPS = (
    "Ask something, and see how fast it is written: the figures stand beside it.",
    "/suffix, and ask again: the same words, with drafts. /autoregressive goes back.",
    "/race plain, suffix sets the two side by side on your last message.",
    "/quantize int8 changes how the weights are held, /gamma 6 how much is drafted.",
    "Ctrl+P finds every command, F7 shows all settings, /save NAME keeps the chat.",
)
# Each group of commands begins with the one named here and goes on to the next.
GROUPS = {
    "autoregressive": "How it decodes",
    "verify": "Measure and compare",
    "model": "Weights, and what runs them",
    "length": "How it answers",
    "undo": "This conversation",
    "save": "Sessions and results",
    "engine": "Servers",
    "turns": "The screen and the program",
}


def grouped(commands: Sequence[Command]) -> list[tuple[str, list[Command]]]:
    """Title and commands of each group."""
    groups: list[tuple[str, list[Command]]] = []
    for each in commands:
        if each.name in GROUPS or not groups:
            groups.append((GROUPS.get(each.name, ""), []))
        groups[-1][1].append(each)
    return groups


def about(command: Command, chat: Chat) -> str:
    """What a command does and takes, with an example and what is in force."""
    lines = [command.usage, f"{command.summary}."]
    lines += [f"  {each.usage}: {each.takes}" for each in command.arguments]
    lines += [f"Example: {command.example}"] if command.example else []
    also = ", ".join(f"/{alias}" for alias in command.aliases)
    lines += [f"Also: {also}"] if also else []
    key = COMMAND_KEYS.get(command.name)
    lines += [f"Key: {key}"] if key else []
    now = value_now(command, chat)
    return "\n".join([*lines, *([f"Now: {now}"] if now else [])])


def key_lines() -> list[str]:
    width = max(len(keys) for keys, _ in KEYS)
    return [f"{keys:{width}}  {what}" for keys, what in KEYS]


def step_lines() -> list[str]:
    return [f"{n}. {step}" for n, step in enumerate(FIRST_STEPS, start=1)]


def _help(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return Reply(_everything(), "show:help:")
    name = str(values[0]).removeprefix("/").lower()
    if command := grammar.named(_all()).get(name):
        return Reply(
            about(command, chat), f"show:help:{command.name}", job=lambda: _figures(command, chat)
        )
    near = get_close_matches(name, grammar.named(_all()), n=1)
    told = f"Did you mean /help {near[0]}?" if near else "/help lists them all."
    return Reply(f"There is no command /{name}. {told}", ok=False)


def _figures(command: Command, chat: Chat) -> Iterator[Said]:
    records = list(chat.log.records)
    yield from figure_lines(command.name, measured_here(records), chat.spec, records)


def _everything() -> str:
    width = max(len(each.usage) for each in _all())
    lines = ["First steps", *step_lines()]
    for title, commands in grouped(_all()):
        lines += ["", title, *(f"{each.usage:{width}}  {each.summary}" for each in commands)]
    return "\n".join([*lines, "", "Keys", *key_lines()])


def _names(_chat: Chat, typed: Sequence[str]) -> Choices:
    words = [Choice(each.name, each.summary) for each in _all()]
    return Choices(typed[-1].removeprefix("/"), words)


def _all() -> Sequence[Command]:
    from .table import COMMANDS  # here: this command is one of them

    return COMMANDS


HELP: tuple[Command, ...] = (
    Command(
        "help",
        "what there is, or one command",
        _help,
        (grammar.text("COMMAND", "a command's name", optional=True, complete=_names),),
        "/help length",
    ),
)
