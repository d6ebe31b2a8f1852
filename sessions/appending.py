"""Whole lines to a file that only this process appends to."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LAST = 64 * 1024


class Locked(Exception):
    """Another process appends to this file."""


class Appender:
    """Appends lines, each whole or not at all; what finds no room waits for the next call.

    Raises OSError where the file can't be opened and Locked where another process holds it.
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

    def append(self, line: str) -> None:
        """Raises OSError where the disk refuses; nothing is lost by that."""
        self._waiting.append(line.encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        while self._waiting:
            self._put(self._waiting[0])
            self._waiting.popleft()

    def sync(self) -> None:
        os.fsync(self._file)

    def rename(self, path: Path) -> None:
        """Moves the file to `path`, which must not exist."""
        lock = _locked(path)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.path.replace(path)
        except OSError:
            _unlock(lock)
            raise
        _unlock(self._lock)
        self.path, self._lock = path, lock

    def copy_from(self, path: Path) -> None:
        with path.open("rb") as source:
            while chunk := source.read(_LAST):
                self._put(chunk)

    def set_torn_line_aside(self) -> bool:
        """Moves what follows the last newline to a file beside this one."""
        end = os.fstat(self._file).st_size
        start = self._after_last_newline(end)
        if start == end:
            return False
        aside = self.path.with_name(self.path.name + ".torn")
        with aside.open("ab", opener=_private) as torn:
            torn.write(os.pread(self._file, end - start, start) + b"\n")
        os.ftruncate(self._file, start)
        return True

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
            begin = max(0, end - _LAST)
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
        raise Locked(str(path)) from None
    return lock


def _unlock(lock: FileLock) -> None:
    """Removed while held: whoever waits on the old file finds it unlinked and tries again."""
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
