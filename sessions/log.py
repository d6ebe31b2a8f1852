"""A session's log: the records in memory, which anyone reads, and the file they are kept in."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..engines.events import EngineError, Stop
from .appending import Appender, Locked
from .clean import one_line
from .encoding import to_line
from .places import SUFFIX, numbered, session_path
from .reading import Problem, entries, opened, read, skip_to_tail
from .records import Header, Record, Turn

__all__ = ["TAIL", "Log", "Problem", "read"]

TAIL = 32 * 1024 * 1024  # bytes of a long log that are loaded besides its head


class Log:
    """Appends from any thread; `records` may be read from another while it grows.

    `path` is None while nothing is kept on disk: before the first turn, or where that can't be
    done, which `warning` says in one sentence.
    """

    def __init__(self, folder: Path) -> None:
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.left_out = 0  # lines of a long log that were not loaded
        self.warning = ""
        self._folder = folder
        self._file: Appender | None = None
        self._next = 0  # sequence number
        self._lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path, header: Header) -> Log:
        """A new session in `folder`. Its file appears with the first turn."""
        log = cls(folder)
        log.append(header)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            log.warning = _unsaved(error)
        return log

    @classmethod
    def open(cls, path: Path) -> Log:
        """Resumes a session. Raises EngineError where another process has it or it's no log."""
        opened(path).close()
        log = cls(path.parent)
        try:
            log._file = Appender(path, new=False)
            torn = log._file.set_torn_line_aside()
        except Locked:
            raise EngineError(
                f"{one_line(path.name)} is open in another tokenhud.", "Close it there first."
            ) from None
        except OSError as error:
            torn = False
            log._give_up(error)
        try:
            log._load(path)
        except EngineError:
            log.close()
            raise
        if torn:
            log.problems.append(Problem(log._next + 1, f"was cut off; it is in {path.name}.torn"))
        return log

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file else None

    def append(self, record: Record) -> None:
        """Never raises for the disk: what can't be written waits, and `warning` says so."""
        with self._lock:
            self.records.append(record)
            if self._file:
                self._write(record)
            elif isinstance(record, Turn) and not self.warning:
                self._begin()
            else:
                self._next += 1

    def rename(self, name: str) -> Path:
        """Gives the session a name in its folder, numbered where that is taken."""
        wanted = session_path(name, self._folder)
        with self._lock:
            if self._file is None:
                return self._move(wanted, self._write_all)
            if wanted == self._file.path:
                return wanted
            return _first_free(wanted, self._file.rename)

    def save_as(self, path: Path) -> Path:
        """Copies the session to `path`, numbered where that is taken, and goes on there."""
        with self._lock:
            old = self._file
            saved = self._move(path, self._copy_of(old.path) if old else self._write_all)
            if old:
                old.close()
            return saved

    def close(self) -> None:
        with self._lock:
            if self._file:
                try:
                    self._file.close()
                except OSError as error:
                    self.warning = _unsaved(error)
                self._file = None
