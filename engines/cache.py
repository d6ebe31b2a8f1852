"""Where converted models are kept, and the hashes that name them."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import filelock
import platformdirs

from .events import EngineError, Progress

Result = TypeVar("Result")

BLOCK = 1 << 24  # bytes hashed between two reports


def cache_folder() -> Path:
    """The platform's cache folder for tokenhud; it may not exist or not be writable."""
    named = os.environ.get("TOKENHUD_CACHE")
    return (
        Path(named).expanduser()
        if named
        else platformdirs.user_cache_path("tokenhud", appauthor=False)
    )


def writable(folder: Path) -> tuple[Path, str]:
    """`folder`, made if needed; or, where nothing can be written there, a temporary one that ends
    with this process, and a sentence that says so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder, ""
    except OSError as error:
        scratch = Path(_scratch().name)
        why = error.strerror or error
        return scratch, (
            f"The cache folder {folder} cannot be written ({why}), so this model is kept in "
            f"{scratch} until tokenhud ends."
        )


def require_space(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EngineError(
            f"{what} needs {_gigabytes(needed)} and {folder} has {_gigabytes(free)} free.",
            "Make room, or name another folder in TOKENHUD_CACHE.",
        )


def progress(stage: str, done: int, total: int) -> Progress:
    return Progress(time.perf_counter_ns(), stage, done, total)


def locked(lock: filelock.FileLock, what: str) -> Generator[Progress, None, None]:
    """Takes `lock`, with a report a second while another process holds it."""
    while True:
        with suppress(filelock.Timeout):
            lock.acquire(timeout=1)
            return
        yield progress(f"Waiting for another process: {what}", 0, 0)


def digest(files: Sequence[Path]) -> Generator[Progress, None, str]:
    """The SHA-256 of the files' bytes one after another. What was hashed before and has the same
    place, size and time of change is not read again."""
    stats = [(str(each.resolve()), each.stat().st_size, each.stat().st_mtime_ns) for each in files]
    key = hashlib.sha256(repr(stats).encode()).hexdigest()
    memory = cache_folder() / "digests" / key
    with suppress(OSError, UnicodeDecodeError):
        known = memory.read_text("utf-8")
        if len(known) == len(key):
            return known
    found = yield from _hashed(files, sum(size for _, size, _ in stats))
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(found, "utf-8")
    return found


def _hashed(files: Sequence[Path], total: int) -> Generator[Progress, None, str]:
    sha, done = hashlib.sha256(), 0
    for each in files:
        with each.open("rb") as file:
            while block := file.read(BLOCK):
                sha.update(block)
                done += len(block)
                yield progress("Hashing", done, total)
    return sha.hexdigest()


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tokenhud-")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
