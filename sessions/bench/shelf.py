"""The folders of results as a collection: found by name, deleted and taken back."""

from __future__ import annotations

from contextlib import closing, suppress
from difflib import get_close_matches
from pathlib import Path

from ...engines.events import EngineError
from ..appending import Appender, LockedError
from ..clean import one_line
from ..places import DELETED, deleted_folder, numbered, reached
from ..typed_names import unquoted
from .result import RAW


def find_result(text: str, folder: Path) -> Path:
    """What a person's argument names in `folder`. Raises EngineError, as do all of these, where
    there is none."""
    name = unquoted(text)
    path = folder / name
    inside = name not in ("", ".", "..", DELETED) and Path(name).name == name
    with reached(path):
        if inside and not path.is_symlink() and path.is_dir():
            return path
    near = get_close_matches(name, _names(folder), n=1)
    remedy = f"Did you mean {one_line(near[0])}?" if near else "/results list names them all."
    raise EngineError(f"There is no result {one_line(name, 60)}.", remedy)


def delete(name: str, folder: Path) -> Path:
    """Moves it to the deleted ones, whence `restore` takes it back."""
    return _move(find_result(name, folder), deleted_folder(folder))


def restore(name: str, folder: Path) -> Path:
    """Takes a deleted one back, numbered where its name is taken by now."""
    return _move(find_result(name, deleted_folder(folder)), folder)


def _move(path: Path, folder: Path) -> Path:
    _refuse_open(path / RAW)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        wanted = next(each for each in numbered(folder / path.name) if not each.exists())
        return path.rename(wanted)
    except OSError as error:
        raise EngineError(f"{one_line(str(path))} cannot be moved: {error.strerror}.") from None


def _refuse_open(raw: Path) -> None:
    """An experiment that runs would go on in a folder that is nowhere."""
    try:
        with suppress(OSError), closing(Appender(raw, new=False)):
            pass
    except LockedError:
        shown = one_line(raw.parent.name)
        raise EngineError(
            f"{shown} is still being measured.", "Esc in that chat ends it."
        ) from None


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []
