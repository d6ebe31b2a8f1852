"""A session's log: the records in memory, which anyone reads, and the file they are kept in."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..engines.events import EngineError, Stop
from .appending import Appender, LockedError
from .clean import one_line
from .encoding import from_line, to_line
from .places import SUFFIX, numbered, session_path
from .reading import Problem, entries, read
from .records import Header, Record, Turn

Made = TypeVar("Made")
__all__ = ["TAIL", "Log", "Problem", "read"]

TAIL = 8 * 1024 * 1024  # bytes of a long log that are loaded besides its head


class Log:
    """Appends from any thread; `records` may be read from another while it grows.

    `path` is None while nothing is kept on disk: before the first turn, or where that can't be
    done, which `warning` says in one sentence.
    """

    def __init__(self, folder: Path) -> None:
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.left_out = 0  # lines of a long log that were left unread
        self.left_at: Path | None = None  # its file, once closed
        self.warning = ""
        self._folder = folder
        self._file: Appender | None = None
        self._next = 0  # sequence number
        self._closed = False
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
            keep = f"/save /path/chat{SUFFIX} keeps it"
            log.warning = f"This chat is not saved ({error.strerror}: {folder}); {keep}."
        return log

    @classmethod
    def in_memory(cls, header: Header) -> Log:
        """A session that no file keeps, unless `save_as` gives it one."""
        log = cls(Path())
        log._closed = True
        log.append(header)
        return log

    @classmethod
    def open(cls, path: Path) -> Log:
        """Resumes a session. Raises EngineError where another process has it or it's no log."""
        _refuse_foreign(path)
        path = path.resolve()
        log, aside = cls(path.parent), None
        try:
            log._file = Appender(path, new=False)
            aside = mend(log._file)
        except LockedError:
            shown = one_line(path.name)
            raise EngineError(f"{shown} is open in another tokenhud.", "Close it there.") from None
        except OSError as error:
            log.warning = _unsaved(error)
        try:
            log._load(path, aside)
        except EngineError:
            log.close()
            raise
        return log

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file else None

    def append(self, record: Record) -> None:
        """Never raises for the disk: what can't be written waits, and `warning` says so."""
        with self._lock:
            self.records.append(record)
            self._next += 1
            if self._file:
                self._file.add(to_line(record, self._next - 1))
                self._flush(sync=isinstance(record, Stop))
            elif isinstance(record, Turn) and not self._closed:
                self._begin()

    def rename(self, name: str) -> Path:
        """Gives the session a name in its folder, numbered where that is taken."""
        path = session_path(name, self._folder)
        with self._lock:
            if self._file is None:
                return self._go_on_in(path)
            if path == self._file.path:
                return path
            return _first_free(path, self._file.rename)[0]

    def save_as(self, path: Path) -> Path:
        """Copies the session to `path`, numbered where that is taken, and goes on there."""
        with self._lock:
            return self._go_on_in(path)

    def close(self) -> None:
        """Writes what waits; what is appended later stays in memory."""
        with self._lock:
            self._closed = True
            if self._file:
                self.left_at = self._file.path
                self._close(self._file)
                self._file = None

    def _begin(self) -> None:
        header = self.records[0]
        created = header.created if isinstance(header, Header) else ""
        name = created[:19].replace("T", "_").replace(":", "-")
        try:
            self._go_on_in(session_path(name or "session", self._folder))
        except EngineError as error:
            self.warning = f"This chat is not saved: {error.what}"

    def _go_on_in(self, path: Path) -> Path:
        """Writes all there is to a new file and appends there from now on."""
        path, file = _first_free(path, lambda free: Appender(free, new=True))
        try:
            if self._file:
                file.copy_from(self._file)
            else:
                self._next = len(self.records)
                for seq, record in enumerate(self.records):
                    file.add(to_line(record, seq))
            file.flush()
        except OSError as error:
            file.discard()
            raise EngineError(f"{one_line(str(path))}: {error.strerror}.") from None
        if self._file:
            self._close(self._file)
        self._file, self._folder, self.warning = file, path.parent, ""
        return path

    def _flush(self, sync: bool) -> None:
        assert self._file
        try:
            self._file.flush()
            if sync:
                self._file.sync()
            self.warning = ""
        except OSError as error:
            self.warning = _unsaved(error)

    def _close(self, file: Appender) -> None:
        try:
            file.close()
        except OSError as error:
            self.warning = _unsaved(error)

    def _load(self, path: Path, aside: Path | None) -> None:
        line = 0
        for entry in entries(path, TAIL):
            line, self._next = entry.line, entry.seq + 1
            self.left_out += entry.skipped
            if entry.problem:
                self.problems.append(entry.problem)
            if entry.record:
                self.records.append(entry.record)
        if aside:
            self.problems.append(Problem(line + 1, f"was cut off and is now in {aside.name}"))


def _refuse_foreign(path: Path) -> None:
    """Raises EngineError unless there is some record: only a log may be locked and mended."""
    all(isinstance(each, Problem) for each in read(path))


def mend(file: Appender) -> Path | None:
    """A last line without its newline is finished where it is a record, else set aside."""
    torn = file.unfinished()
    if not torn:
        return None
    try:
        from_line(torn.decode())
    except ValueError:  # not UTF-8, or no record
        return file.set_aside(torn)
    file.finish()
    return None


def _first_free(path: Path, make: Callable[[Path], Made]) -> tuple[Path, Made]:
    for free in numbered(path):
        try:
            return free, make(free)
        except (FileExistsError, LockedError):
            continue
        except OSError as error:
            raise EngineError(
                f"{one_line(str(path))} cannot be written: {error.strerror}.",
                f"Save elsewhere: /save /path/chat{SUFFIX}",
            ) from None
    raise AssertionError("numbers never end")


def _unsaved(error: OSError) -> str:
    return f"This chat is not being saved: {error.strerror or error}."
