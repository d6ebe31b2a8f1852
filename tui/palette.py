"""The command palette: every command, found by its name or by what it does."""

from __future__ import annotations

from functools import partial

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from .chat.screen import ChatScreen
from .commands import table as commands
from .commands.completing import value_now
from .commands.grammar import Command
from .commands.help import COMMAND_KEYS
from .commands.matching import matching
from .screens.frame import Frame


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
        """A screen over the chat hands the line to it as it closes."""
        more = any(not each.optional for each in command.arguments)
        line = f"/{command.name}" + (" " if more else "")
        if isinstance(self.screen, Frame):
            self.screen.dismiss(line)
        else:
            self._chat_screen.returned(line)

    @property
    def _chat_screen(self) -> ChatScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen


def _names(command: Command) -> tuple[str, ...]:
    return (command.name, *command.aliases)
