"""Textual's terminal driver, made to live with what a terminal may really send."""

from __future__ import annotations

import signal
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message

ALT_ENTER = "\x1b[13;3u"


class _Decoder:
    """A byte that is no UTF-8 becomes a mark. Alt+Enter as most terminals write it, which Textual
    takes for Enter, becomes what the kitty protocol writes."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")

    def decode(self, data: bytes, final: bool = False) -> str:
        return self._decoder.decode(data, final).replace("\x1b\r", ALT_ENTER)


class _Parser(XTermParser):
    """Drops a sequence that cannot be read, such as a key with a number of eleven digits."""

    def feed(self, data: str) -> Iterator[Message]:
        for character in data or [""]:  # "" is the end of the input
            try:
                yield from super().feed(character)
            except (ValueError, OverflowError):
                super(XTermParser, self).__init__()  # afresh, but for the state of the mouse


class Driver(linux_driver.LinuxDriver):
    """Wrong input ends an app of Textual 8.2.8 with a traceback (its issue 6456), and so does a
    terminal that vanishes."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert sys.__stdout__
        self._file = sys.__stdout__  # Textual draws on stderr, which `2> errors.txt` takes away

    def run_input_thread(self) -> None:
        linux_driver.getincrementaldecoder = lambda _: _Decoder  # type: ignore[assignment, attr-defined]
        linux_driver.XTermParser = _Parser  # type: ignore[attr-defined]
        try:
            super().run_input_thread()
        except OSError:
            signal.raise_signal(signal.SIGHUP)

    def write(self, data: str) -> None:
        """Dropped once the terminal is gone: its full queue would block the app for ever."""
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().write(data)

    def close(self) -> None:
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().close()
