"""The command palette: every command, found by its name or by what it does."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from .chat.screen import ChatScreen
from .commands import table as commands
from .commands.completing import value_now
from .commands.grammar import Command
from .commands.help import COMMAND_KEYS
from .commands.matching import matching


class Palette(CommandPalette):
    """With a row for the words in a window of any height, and the keys that close a box."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("ctrl+c,super+c", "escape", "Leave it", show=False, priority=True),
    ]
    CSS = """
    Palette.-short {
        & > Vertical { margin-top: 0; }
        & #--input, & #--input.--list-visible { border: none; }
        & #--input Label { margin-top: 0; }
        & CommandInput { height: 1; border: none; }
        & CommandInput:focus { border: none; }
    }
    """


class Commands(Provider):
    """Runs the chosen one in the chat, or begins it there where it must be told more."""

    async def discover(self) -> Hits:
        for each in commands.COMMANDS:
            help_text = escape(each.summary)
            yield DiscoveryHit(
                self._shown(each), partial(self._choose, each), each.usage, help_text
            )

    async def search(self, query: str) -> Hits:
        typed = query.removeprefix("/")
        found = matching(typed, commands.COMMANDS, _names, lambda each: each.summary)
        for place, (_, each) in enumerate(found):
            help_text = escape(each.summary)
            yield Hit(
                1 / (1 + place),
                self._shown(each),
                partial(self._choose, each),
                each.usage,
                help_text,
            )

    def _shown(self, command: Command) -> Text:
        """Usage, value in force and key."""
        now = value_now(command, self._chat_screen.chat)
        key = COMMAND_KEYS.get(command.name, "")
        told = [f"now {now}"] * bool(now) + [key] * bool(key)
        return Text.assemble(command.usage, ("".join(f"  {each}" for each in told), "not bold"))

    def _choose(self, command: Command) -> None:
        """In the chat: whatever lies over it closes first, boxes too."""
        more = any(not each.optional for each in command.arguments)
        line = f"/{command.name}" + (" " if more else "")
        for over in reversed(self.app.screen_stack[1:]):
            over.dismiss(None)
        self.app.call_next(self._chat_screen.returned, line)

    @property
    def _chat_screen(self) -> ChatScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen


def _names(command: Command) -> tuple[str, ...]:
    return (command.name, *command.aliases)
