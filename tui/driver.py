"""Textual's terminal driver, made to live with what a terminal may really send."""

from __future__ import annotations

import re
import signal
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

from textual._ansi_sequences import SYNC_END
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

ALT_ENTER = "\x1b[13;3u"
QUERY = "\x1b[?2026$p"  # Textual asks it once; a terminal that answered will again
PATIENCE = 10.0  # seconds after which a terminal that owes an answer is no longer asked
_ANSWER = re.compile(r"\x1b\[\?2026;[0-9]\$y")
_BEGUN = re.compile(r"\x1b\[\?[0-9;]*\$?\Z")
FAREWELL = 0.5  # seconds in which it may still come, so that it is not typed into the shell


class _Decoder:
    """A byte that is no UTF-8 becomes a mark. Alt+Enter as most terminals write it, which Textual
    takes for Enter, becomes what the kitty protocol writes. The answer to our own question is taken
    out, wherever it stands: in a paste, Textual's parser would take text along with it."""

    def __init__(self, echo: Echo) -> None:
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._echo = echo
        self._held = ""  # what may be the beginning of the answer

    def decode(self, data: bytes, final: bool = False) -> str:
        text = self._held + self._decoder.decode(data, final).replace("\x1b\r", ALT_ENTER)
        self._held = ""
        if self._echo.open:
            text, answers = _ANSWER.subn("", text, count=1)
            if answers:
                self._echo.answered()
            elif begun := _BEGUN.search(text):
                text, self._held = text[: begun.start()], begun[0]
        return text


class _Parser(XTermParser):
    """Drops a sequence that cannot be read, such as a key with a number of eleven digits."""

    def feed(self, data: str) -> Iterator[Message]:
        for character in data or [""]:  # "" is the end of the input
            try:
                yield from super().feed(character)
            except (ValueError, OverflowError):
                super(XTermParser, self).__init__()  # afresh, but for the state of the mouse


class _Output:
    """A file that counts the characters it was rid of."""

    def __init__(self, file: IO[str]) -> None:
        self.taken = 0
        self._file = file
        self._held = 0  # written since the last flush

    def write(self, text: str) -> None:
        self._file.write(text)
        self._held += len(text)

    def flush(self) -> None:
        self._file.flush()
        self.taken += self._held
        self._held = 0

    def fileno(self) -> int:
        return self._file.fileno()


class Echo:
    """Whether the terminal has come to the end of the last frame, by a question after each frame:
    what ssh and the network hold, no queue of this machine shows."""

    def __init__(self) -> None:
        self._answers = False  # to the question that Textual asks at the start
        self._asked: float | None = None  # when the one was asked that is open

    @property
    def open(self) -> bool:
        return self._asked is not None

    def ask(self, now: float) -> bool:
        """Whether the question is to be written now."""
        if self._asked is not None and now - self._asked > PATIENCE:
            self._answers, self._asked = False, None
        if not self._answers or self._asked is not None:
            return False
        self._asked = now
        return True

    def answered(self) -> None:
        self._answers, self._asked = True, None

    def end(self) -> None:
        """Asks no more; an open question stays open."""
        self._answers = False


class Driver(linux_driver.LinuxDriver):
    """Wrong input ends an app of Textual 8.2.8 with a traceback (its issue 6456), and so does a
    terminal that vanishes."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert sys.__stdout__
        # Textual draws on stderr, which `2> errors.txt` takes away
        self._output = _Output(sys.__stdout__)
        self._file = self._output  # type: ignore[assignment]
        self._echo = Echo()
        self._written = 0

    @property
    def backlog(self) -> int:
        """Characters that the terminal has not taken yet, or 1 where only its answer is awaited."""
        return self._written - self._output.taken or int(self._echo.open)

    def run_input_thread(self) -> None:
        decoder = partial(_Decoder, self._echo)
        linux_driver.getincrementaldecoder = lambda _: decoder  # type: ignore[assignment, attr-defined]
        linux_driver.XTermParser = _Parser  # type: ignore[attr-defined]
        try:
            super().run_input_thread()
        except OSError:
            signal.raise_signal(signal.SIGHUP)

    def write(self, data: str) -> None:
        """Dropped once the terminal is gone: its full queue would block the app for ever."""
        if self._writer_thread is not None and self._writer_thread.is_alive():
            if data == SYNC_END and self._echo.ask(time.monotonic()):
                data += QUERY
            self._written += len(data)
            super().write(data)

    def process_message(self, message: Message) -> None:
        if isinstance(message, TerminalSupportsSynchronizedOutput):
            self._echo.answered()
        super().process_message(message)

    def ends_soon(self) -> None:
        """What is asked now might be answered to the shell."""
        self._echo.end()

    def stop_application_mode(self) -> None:
        ends = time.monotonic() + FAREWELL
        while self._echo.open and time.monotonic() < ends:
            time.sleep(0.01)
        super().stop_application_mode()

    def close(self) -> None:
        if self._writer_thread is not None and self._writer_thread.is_alive():
            super().close()
