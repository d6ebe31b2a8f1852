"""A program in a pseudo-terminal whose output is drained as a real terminal would."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence


class PseudoTerminal:
    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], columns: int = 100, lines: int = 30
    ) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (lines, columns))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read_until(self, enough: Callable[[bytes], bool], seconds: float) -> bool:
        """Reads on until what came since the call is `enough`; False where time ran out."""
        seen = bytearray()
        ends = time.monotonic() + seconds
        while not enough(bytes(seen)):
            left = ends - time.monotonic()
            if left <= 0:
                return False
            if select.select([self._master], [], [], left)[0]:
                try:
                    seen += os.read(self._master, 65536)
                except OSError:  # the program has ended
                    return enough(bytes(seen))
        return True

    def close(self) -> None:
        """Hangs up, as closing a terminal's window does, and waits for the program to end."""
        self.process.send_signal(signal.SIGHUP)
        self.read_until(lambda _: self.process.poll() is not None, 5)
        self.process.kill()
        self.process.wait()
        os.close(self._master)
