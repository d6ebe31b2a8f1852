"""Textual's terminal driver, made to live with what a terminal may really send."""

from __future__ import annotations

import signal
from codecs import getincrementaldecoder
from functools import partial
from typing import Any

from textual.drivers import linux_driver


def _lenient(encoding: str) -> Any:
    return partial(getincrementaldecoder(encoding), errors="replace")


class Driver(linux_driver.LinuxDriver):
    """A byte that is no UTF-8 becomes a mark, and a sequence that cannot be read is dropped; in
    Textual 8.2.8 either ends the app with a traceback (Textual issue 6456)."""

    def run_input_thread(self) -> None:
        linux_driver.getincrementaldecoder = _lenient  # type: ignore[attr-defined]
        while not self.exit_event.is_set():
            try:
                super().run_input_thread()
            except (ValueError, OverflowError):
                continue
            except OSError:  # the terminal is gone, with or without a signal
                signal.raise_signal(signal.SIGHUP)
                return

    def write(self, data: str) -> None:
        """Dropped once the terminal is gone: its full queue would block the app for ever."""
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().write(data)

    def close(self) -> None:
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().close()
