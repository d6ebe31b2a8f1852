"""The screens that open over the chat, by the names that commands and keys give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from textual.screen import Screen

from ..sessions.chat import Chat
from .commands.grammar import Reply

# Each is made of a Desk and an argument; its module loads when it first opens, since the chat must
# be on the screen at once.
SCREENS = {
    "turns": "TurnsScreen",
    "race": "RaceScreen",
    "sessions": "SessionsScreen",
    "results": "ResultsScreen",
    "engines": "EnginesScreen",
    "settings": "SettingsScreen",
    "help": "HelpScreen",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What a screen works on. It changes nothing but by lines that could be typed into the chat."""

    chat: Chat
    run: Callable[[str], Reply]  # does what the typed line does; a job of it runs beside the screen
    clock: Callable[[], int]  # nanoseconds, of the same origin as the times in the log


def opened(name: str, desk: Desk, argument: str = "") -> Screen[str | None]:
    """A line that the screen is dismissed with is run in the chat, or put into the input where it
    ends in a blank."""
    module = import_module(f".screens.{name}", __package__)
    screen: Screen[str | None] = getattr(module, SCREENS[name])(desk, argument)
    return screen
