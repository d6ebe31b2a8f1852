"""The slash commands of the screen alone: they change no figure."""

from __future__ import annotations

from ...sessions.chat import Chat
from ...sessions.config import HUDS, ORIGINS, THEMES
from . import grammar
from .grammar import Command, Reply, Run, Value

NEEDS_SCREEN = "Only the full screen has this."


def debug(_chat: Chat, values: tuple[Value, ...]) -> Reply:
    return Reply(f"Steps are {'shown' if values[0] == 'on' else 'hidden'}.", f"debug:{values[0]}")


def preference(name: str, what: str, words: tuple[str, ...], example: str) -> Command:
    """A command that sets one field of Preferences, from now on and the next time."""

    def run(_chat: Chat, values: tuple[Value, ...]) -> Reply:
        if not values:
            return Reply(f"/{name} takes {', '.join(words)}. Example: {example}")
        return Reply(f"{name} {values[0]}.", f"prefer:{name}={values[0]}")

    usage = "NAME" if len(words) > 4 else "|".join(words)
    return Command(name, what, run, (grammar.word(usage, words, True),), example)


def opens(screen: str) -> Run:
    """Runs a command that opens a screen and has nothing to say without one."""

    def run(_chat: Chat, _values: tuple[Value, ...]) -> Reply:
        return Reply(NEEDS_SCREEN, f"show:{screen}:")

    return run


VIEW: tuple[Command, ...] = (
    Command("turns", "all turns in a table, and the steps of each", opens("turns")),
    preference("hud", "where the figures stand; auto is by the window's width", HUDS, "/hud bar"),
    preference(
        "origin",
        "how drafted words are told from the model's own: tinted, marked, or not at all",
        ORIGINS,
        "/origin mark",
    ),
    Command(
        "debug",
        "show every step: drafted, accepted, emitted, ms",
        debug,
        (grammar.word("on|off", ("on", "off")),),
        "/debug on",
    ),
    preference("theme", "colours", THEMES, "/theme nord"),
)
