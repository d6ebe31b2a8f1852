"""The full-screen program around one chat."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import constants
from textual.app import App
from textual.command import CommandPalette, Provider
from textual.driver import Driver

from ..sessions.chat import Chat
from ..sessions.config import Preferences
from .chat.screen import ChatScreen

DEFAULT = Preferences()
TOLD = 6.0  # seconds that the screen says where a copied text went
ENDING = 1.0  # seconds in which an answer that is cancelled by leaving may still be recorded


def command_palette() -> type[Provider]:
    """Loads when it first opens."""
    from .palette import Commands

    return Commands


class TokenhudApp(App[None]):
    """Owns the chat's end: however the screen closes, the log and the engine are closed too."""

    CSS_PATH = "app.tcss"
    TITLE = "tokenhud"
    COMMANDS: ClassVar = {command_palette}
    ESCAPE_TO_MINIMIZE = False

    def __init__(
        self,
        chat: Chat,
        clock: Callable[[], int] = time.perf_counter_ns,
        preferences: Preferences = DEFAULT,
        remember: Callable[[Preferences], None] | None = None,
        notices: Sequence[str] = (),
    ) -> None:
        """`remember` keeps preferences for the next time; raises EngineError where it cannot.
        `notices` are said at the beginning."""
        super().__init__()
        self.chat = chat
        self.preferences = preferences
        self.notices = notices
        self._clock = clock
        self._remember = remember
        self.theme = preferences.theme

    def get_default_screen(self) -> ChatScreen:
        return ChatScreen(self.chat, self._clock)

    @property
    def chat_screen(self) -> ChatScreen:
        """The lowest screen, whatever lies over it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen

    def get_driver_class(self) -> type[Driver]:
        if constants.DRIVER:  # set by the server of a browser's page
            from .web.driver import WebDriver

            return WebDriver
        if sys.platform == "win32":
            return super().get_driver_class()
        from .driver import Driver as LenientDriver

        return LenientDriver

    async def run_async(self, **options: Any) -> None:
        try:
            return await super().run_async(**options)
        finally:
            self.chat.close()  # before asyncio waits for the thread that reads the engine

    def on_mount(self) -> None:
        self.animation_level = "none"
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
                number = getattr(signal, name)
                loop.add_signal_handler(number, self.leave, 128 + number)

    def action_command_palette(self) -> None:
        from .palette import Palette

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))

    def prefer(self, name: str, value: str) -> None:
        """Raises EngineError where it holds now and cannot be remembered."""
        self.preferences = replace(self.preferences, **{name: value})
        self.theme = self.preferences.theme
        if self._remember:
            self._remember(self.preferences)

    def copy_to_clipboard(self, text: str) -> None:
        """And says where it went."""
        self._clipboard = text
        self.run_worker(partial(self._copy, text), thread=True, exit_on_error=False)

    def _copy(self, text: str) -> None:
        """Waits for a program that holds a clipboard, so it runs beside the screen."""
        from .clipboard import copied

        told = copied(text, partial(self.call_from_thread, self._write))
        self.call_from_thread(self.notify, told, timeout=TOLD, markup=False)

    def _write(self, sequence: str) -> None:
        if self._driver:
            self._driver.write(sequence)
            self._driver.flush()

    async def action_quit(self) -> None:
        self.leave()

    def leave(self, status: int = 0) -> None:
        """Ends the answer that streams, so that it is in the log, and then the app."""
        with suppress(AttributeError):  # only our own driver asks the terminal anything
            self._driver.ends_soon()  # type: ignore[union-attr]
        self.run_worker(self._leave(status), exit_on_error=False)

    async def _leave(self, status: int) -> None:
        self.chat_screen.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.chat_screen.at_rest(), ENDING)
        self.exit(return_code=status)
