"""A program in a window of its own: a real pseudo-terminal, drawn and typed into."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from typing import TypeVar

import pyte

Seen = TypeVar("Seen")
SECONDS = 60.0  # for anything, on a busy machine
PASTED = 1024  # bytes at once


_UNKNOWN = re.compile(rb"\x1b\[[<>?=][0-9;]*[up]|\xe2\x80\x8d|\xef\xb8\x8f")


class Terminal:
    def __init__(self, command: list[str], columns: int, lines: int) -> None:
        self._master, self._slave = os.openpty()
        termios.tcsetwinsize(self._slave, (lines, columns))
        self._before = termios.tcgetattr(self._slave)
        self.seen = bytearray()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.process = subprocess.Popen(
            command,
            preexec_fn=lambda: os.login_tty(self._slave),
            env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            close_fds=False,
        )

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def columns(self, text: str) -> set[int]:
        """The cells in which `text` begins on the screen, whatever stands before it."""
        found = set()
        for row in range(self._screen.lines):
            cells = [self._screen.buffer[row][n].data for n in range(self._screen.columns)]
            found |= {n for n in range(len(cells)) if "".join(cells[n:]).startswith(text)}
        return found

    def type(self, data: str | bytes) -> None:
        os.write(self._master, data if isinstance(data, bytes) else data.encode())

    def paste(self, text: str) -> None:
        """In brackets, as terminals do; reads meanwhile, since both directions have an end."""
        data = b"\x1b[200~" + text.encode() + b"\x1b[201~"
        for start in range(0, len(data), PASTED):
            self.type(data[start : start + PASTED])
            self._read()

    def resize(self, columns: int, lines: int) -> None:
        termios.tcsetwinsize(self._slave, (lines, columns))
        self.process.send_signal(signal.SIGWINCH)
        self._read()
        self._screen.resize(lines, columns)

    def sip(self, size: int) -> int:
        """Takes at most so many bytes of what the program wrote, as a slow line does."""
        if not select.select([self._master], [], [], 0)[0]:
            return 0
        data = os.read(self._master, size)
        self._take(data)
        return len(data)

    def shows(self, text: str) -> None:
        """Reads until `text` is on the screen."""
        self._until(lambda: text in self.text)

    def matches(self, pattern: str) -> re.Match[str]:
        """Reads until the screen holds a match of `pattern`."""
        return self._until(lambda: re.search(pattern, self.text))

    def status(self) -> int:
        """Reads what the program still writes, and its exit status."""
        self._until(lambda: self.process.poll() is not None)
        self._read()
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang_up(self) -> None:
        os.close(self._slave)
        os.close(self._master)
        self.process.wait(SECONDS)

    def restored(self) -> bool:
        """Whether the program left everything as it found it."""
        left = [b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[?1000l", b"\x1b[<u"]
        after = termios.tcgetattr(self._slave)
        return after == self._before and all(each in self.seen for each in left)

    def _until(self, seen: Callable[[], Seen | None]) -> Seen:
        def read() -> Seen | None:
            self._read()
            return seen()

        return until(read, lambda: self.text)

    def _read(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            self._take(os.read(self._master, 65536))

    def _take(self, data: bytes) -> None:
        self.seen += data
        # pyte 0.8.2 takes the kitty protocol's private forms for others, and drops what follows a
        # joiner; without joiners it is a terminal that draws the parts of an emoji one by one
        self._stream.feed(_UNKNOWN.sub(b"", data))


def until(
    seen: Callable[[], Seen | None], told: Callable[[], str], seconds: float = SECONDS
) -> Seen:
    """What is `seen` in the end; fails with what is `told` after `seconds`."""
    ends = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < ends, told()
        time.sleep(0.02)
    return found
