"""Sessions in forms that other programs read: see docs/sessions.md."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from ..engines.events import EngineError
from .clean import one_line
from .export_csv import write_steps, write_turns
from .export_json import write_json
from .export_text import write_markdown, write_text
from .places import explicit_path
from .reading import Problem
from .records import Record
from .writing import save_new

Write = Callable[[str, Iterable[Record | Problem], TextIO], None]


class Form(NamedTuple):
    suffix: str
    write: Write  # a session's name and what its log holds; one turn in memory at a time


FORMS = {
    "csv": Form(".csv", write_turns),
    "steps": Form(".steps.csv", write_steps),
    "json": Form(".json", write_json),
    "md": Form(".md", write_markdown),
    "text": Form(".txt", write_text),
}


def export(name: str, items: Iterable[Record | Problem], form: str, to: str = "") -> Path:
    """Writes a session in one of FORMS to the file `to` means: see `destination`. Returns its path.
    Raises EngineError where it can't be read or written."""
    path = destination(to, name + FORMS[form].suffix)

    def write(file: BinaryIO) -> None:
        with io.TextIOWrapper(file, "utf-8", newline="") as out:
            FORMS[form].write(name, items, out)

    return save_new(path, write)


def destination(to: str, name: str) -> Path:
    """`to` as a path, relative ones from the working folder; in it, or in a folder that `to`
    names, a file is called `name`. Raises EngineError where no file can be there."""
    try:
        path = Path(to).expanduser().absolute()
        return explicit_path(str(path / name if path.is_dir() else path))
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(f"{one_line(to) or 'The working folder'} is no path: {error}.") from None
