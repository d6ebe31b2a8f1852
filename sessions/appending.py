"""Whole lines to a file that only this process appends to."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_CHUNK = 64 * 1024


class LockedError(Exception):
    """Another process appends to this file."""


class Appender:
    """Appends lines, each whole or not at all. Holds the file's lock until closed.

    Raises OSError where the file can't be opened and LockedError where another process has it.
    """

    def __init__(self, path: Path, *, new: bool) -> None:
        self.path = path
        self._waiting: deque[bytes] = deque()
        self._torn_at: int | None = None  # where a part of a line is still to be cut off
        self._lock = _locked(path)
        how = os.O_CREAT | os.O_EXCL if new else 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | how, 0o600)
        except OSError:
            _unlock(self._lock)
            raise

    def add(self, line: str) -> None:
        """Queues a line for `flush`."""
        self._waiting.append(line.encode() + b"\n")

    def flush(self) -> None:
        """Raises OSError where the disk refuses; what is left waits for the next call."""
        while self._waiting:
            self._put(self._waiting[0])
            self._waiting.popleft()

    def sync(self) -> None:
        os.fsync(self._file)

    def rename(self, path: Path) -> None:
        """Moves the file to `path` in the same folder, which must not exist."""
        lock = _locked(path)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.path.replace(path)
        except OSError:
            _unlock(lock)
            raise
        _unlock(self._lock)
        self.path, self._lock = path, lock

    def copy_from(self, other: Appender) -> None:
        """All of `other`, also what it has still to write."""
        with other.path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                self._put(chunk)
        self._waiting += other._waiting

    def unfinished(self) -> bytes:
        """What follows the last newline."""
        end = os.fstat(self._file).st_size
        start = self._after_last_newline(end)
        return os.pread(self._file, end - start, start)

    def finish(self) -> None:
        """Ends a last line that is whole but for its newline."""
        self._put(b"\n")

    def set_aside(self, torn: bytes) -> Path:
        """Moves `torn`, the file's last bytes, to a file beside it."""
        aside = self.path.with_name(self.path.name + ".torn")
        aside.touch(mode=0o600)
        with aside.open("ab") as file:
            file.write(torn + b"\n")
        os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))
        return aside

    def discard(self) -> None:
        """Deletes the file."""
        os.close(self._file)
        self.path.unlink()
        _unlock(self._lock)

    def close(self) -> None:
        """The last attempt to write what waits; raises OSError where that or fsync fails."""
        try:
            self.flush()
            self.sync()
        finally:
            os.close(self._file)
            _unlock(self._lock)

    def _put(self, data: bytes) -> None:
        if self._torn_at is not None:
            os.ftruncate(self._file, self._torn_at)
            self._torn_at = None
        end = os.fstat(self._file).st_size
        if os.write(self._file, data) < len(data):
            self._torn_at = end
            with suppress(OSError):
                os.ftruncate(self._file, end)
                self._torn_at = None
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _after_last_newline(self, end: int) -> int:
        while end > 0:
            begin = max(0, end - _CHUNK)
            found = os.pread(self._file, end - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0


def _locked(path: Path) -> FileLock:
    """The lock of `path`, held: a file beside it. It's not tied to the thread that took it."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(str(path)) from None
    return lock


def _unlock(lock: FileLock) -> None:
    """Removed while held: whoever waits on the old file finds it unlinked and tries again."""
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()
