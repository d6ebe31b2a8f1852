"""Where sessions lie, and the one rule for what they may be called."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_data_path

from ..engines.events import EngineError
from .clean import one_line

SUFFIX = ".jsonl"
DELETED = "deleted"  # the folder, among the sessions, of those that can be taken back
LONGEST = 100  # characters of a name
_LONGEST_BYTES = 200  # leaves a file system's 255 room for suffixes and numbers
_NOWHERE = Path("/dev/null")  # can't be made, so nothing is kept
_NAME_RULE = (
    f"A name is 1 to {LONGEST} letters, digits, spaces and . _ - and does not begin with . or -"
)


class Session(NamedTuple):
    """One saved log, as far as the folder alone tells."""

    name: str
    path: Path
    modified: float  # seconds since the epoch
    size: int  # bytes


def session_folder() -> Path:
    """TOKENHUD_HOME, or the platform's folder for user data; nothing is made here."""
    return _data_folder() / "sessions"


def results_folder() -> Path:
    """Where benchmarks keep what they measured, beside the sessions."""
    return _data_folder() / "results"


def _data_folder() -> Path:
    if chosen := os.environ.get("TOKENHUD_HOME"):
        return Path(chosen).absolute()
    try:
        return user_data_path("tokenhud", appauthor=False)
    except RuntimeError:  # no home at all
        return _NOWHERE


def locate(text: str, folder: Path) -> Path:
    """The file that a person's argument means: a path where it begins like one, else a name."""
    return explicit_path(text) if text.startswith(("/", "~")) else session_path(text, folder)


def session_path(name: str, folder: Path) -> Path:
    """The file of the session `name`. Raises EngineError unless it lies in `folder` itself."""
    stem = unicodedata.normalize("NFC", name.strip(" ").removesuffix(SUFFIX))
    if not _is_name(stem):
        raise EngineError(f'"{one_line(name, 60)}" cannot be a session\'s name.', f"{_NAME_RULE}.")
    path = folder / (stem + SUFFIX)
    with reached(path):
        leads_elsewhere = path.is_symlink() or path.resolve().parent != folder.resolve()
    if leads_elsewhere:
        raise EngineError(f'"{stem}" is a link that leads elsewhere.', "Choose another name.")
    return path


def deleted_folder(folder: Path) -> Path:
    """Where deleted sessions of `folder` lie. Raises EngineError where a link leads elsewhere."""
    path = folder / DELETED
    with reached(path):
        if path.is_symlink():
            raise EngineError(f"{one_line(str(path))} is a link.", "Put a folder in its place.")
    return path


def explicit_path(text: str) -> Path:
    """The file that an absolute path or one from ~ names; its folder must be there."""
    try:
        path = Path(text.strip()).expanduser()
    except RuntimeError:
        raise EngineError(f"There is no home folder for {one_line(text, 60)}.") from None
    shown = one_line(str(path))
    if not path.is_absolute() or not str(path).isprintable():
        raise EngineError(f"{shown} is not an absolute path.", "Begin with / or ~ .")
    with reached(path):
        if not path.parent.is_dir():
            raise EngineError(f"{one_line(str(path.parent))} is not a folder.", "Create it first.")
        if path.is_dir():
            raise EngineError(f"{shown} is a folder.", f"Name a file in it: {shown}/chat{SUFFIX}")
    return path


def is_there(text: str) -> bool:
    """Whether a path that a person may have meant leads to something."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such person's home, a NUL
        return False


@contextmanager
def reached(path: Path) -> Iterator[None]:
    """What the file system refuses meanwhile is told as an EngineError about `path`."""
    try:
        yield
    except OSError as error:
        shown = one_line(str(path))
        raise EngineError(f"{shown} cannot be reached: {error.strerror}.") from None


def numbered(path: Path) -> Iterator[Path]:
    """`path`, then path-2, path-3, ...: for whoever must not overwrite."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def list_sessions(folder: Path) -> list[Session]:
    """Newest first; none where there is no folder yet. Opens no file. Raises EngineError where the
    folder can't be read."""
    with reached(folder):
        try:
            with os.scandir(folder) as entries:
                found = [session for entry in entries if (session := _session(entry))]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found, key=lambda each: (-each.modified, each.name))


def _session(entry: os.DirEntry[str]) -> Session | None:
    stem = entry.name.removesuffix(SUFFIX)
    try:
        if stem == entry.name or not _is_name(stem) or not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except PermissionError:  # the folder's, so for all in it
        raise
    except OSError:  # deleted meanwhile
        return None
    return Session(stem, Path(entry.path), status.st_mtime, status.st_size)


def _is_name(stem: str) -> bool:
    return (
        0 < len(stem) <= LONGEST
        and stem[0] not in ".-"
        and all(each in " ._-" or unicodedata.category(each)[0] in "LMN" for each in stem)
        and len(stem.encode()) <= _LONGEST_BYTES
    )
