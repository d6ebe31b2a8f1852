"""Files written over nothing that is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..engines.events import EngineError
from .clean import one_line
from .places import numbered


def write_new(folder: Path, name: str, record: Mapping[str, Any]) -> Path:
    """As `save_new`, JSON; the folder is made."""
    return write_new_text(folder, name, json.dumps(record, indent=2, allow_nan=False) + "\n")


def write_new_text(folder: Path, name: str, text: str) -> Path:
    """As `save_new`, UTF-8; the folder is made."""
    return write_new_bytes(folder / name, text.encode())


def write_new_bytes(path: Path, content: bytes) -> Path:
    """As `save_new`; the folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(path.parent, error) from None

    def write(file: BinaryIO) -> None:
        file.write(content)

    return save_new(path, write)


def save_new(path: Path, write: Callable[[BinaryIO], None]) -> Path:
    """Has `write` fill a new file, name-2, name-3, ... where `path` is taken, for its owner alone.
    Nothing is left of it where that fails; a disk that refuses is an EngineError."""
    try:
        path, file = _new(path)
        try:
            with file:
                write(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _failed(path, error) from None
    return path


def _new(path: Path) -> tuple[Path, BinaryIO]:
    for free in numbered(path):
        try:
            handle = os.open(free, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            continue
        return free, os.fdopen(handle, "wb")
    raise AssertionError("numbers never end")


def _failed(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"{one_line(str(path))} cannot be written: {error.strerror}.", "Name another."
    )
