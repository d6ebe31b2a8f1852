"""What only a screen can do for a command, by the name that its reply gives, with an argument
behind a colon:

quit · send:TEXT to the model · prefill:TEXT into the input · copy:TEXT · debug:on|off
clear and reload, as send and prefill, show the conversation anew.
prefer:NAME=VALUE sets a preference of the screen and remembers it.
open:NAME:ARGUMENT opens a screen of opening.py; show:NAME:ARGUMENT does so in place of the reply's
text and job, which stand where there is no screen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..commands.grammar import Reply

if TYPE_CHECKING:
    from .screen import ChatScreen

REWRITES = frozenset({"clear", "reload", "send", "prefill"})


def act(screen: ChatScreen, reply: Reply) -> None:
    """Says the reply, starts its job and does its action."""
    action, _, argument = (reply.action or "").partition(":")
    if action in REWRITES:
        screen.scribe.rewrite(screen.chat)
    if action != "show":
        if reply.text:
            screen.scribe.say(reply.text)
        if reply.job:
            screen.start(reply.job())
    if action in _ACTIONS:
        _ACTIONS[action](screen, argument)


def _debug(screen: ChatScreen, argument: str) -> None:
    screen.scribe.debug = argument == "on"


def _prefer(screen: ChatScreen, argument: str) -> None:
    name, _, value = argument.partition("=")
    screen.prefer(name, value)


def _open(screen: ChatScreen, argument: str) -> None:
    name, _, about = argument.partition(":")
    screen.open_screen(name, about)


_ACTIONS: dict[str, Callable[[ChatScreen, str], None]] = {
    "quit": lambda screen, _: screen.app.leave(),
    "send": lambda screen, text: screen.send(text),
    "prefill": lambda screen, text: screen.prompt.write(text),
    "copy": lambda screen, text: screen.app.copy_to_clipboard(text),
    "debug": _debug,
    "prefer": _prefer,
    "open": _open,
    "show": _open,
}
