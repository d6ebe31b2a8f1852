"""Textual's driver for a browser, made to end a chat as leaving it does."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

from textual.drivers import web_driver


class WebDriver(web_driver.WebDriver):
    """Else an answer that streams when its page is closed would be recorded as a failure, and a
    chat whose server was killed would stay."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._write = self._written  # type: ignore[assignment]

    def start_application_mode(self) -> None:
        super().start_application_mode()
        for name in ("SIGINT", "SIGTERM"):
            with suppress(NotImplementedError):  # Windows
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(getattr(signal, name), self._leave)

    def run_input_thread(self) -> None:
        super().run_input_thread()
        if not self.exit_event.is_set():  # the server is gone, or sent what is no input
            self._leave()

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        if packet_type == "quit":
            self._leave()
        else:
            super().on_meta(packet_type, payload)

    def _leave(self) -> None:
        self._app.call_later(self._app.action_quit)

    def _written(self, data: bytes) -> int:
        with suppress(BrokenPipeError):
            return os.write(self.fileno, data)
        return len(data)
