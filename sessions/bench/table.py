"""A table as data, as aligned text and as Markdown. Whoever's words are in it, nothing in a cell
ends the cell, is markup, or reaches the terminal as more than text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..clean import cells, one_line

_LONGEST = 400  # characters of a cell or a note
_GAP = "  "
_MARKUP = re.compile(r"([\\`*_\[\]|~#$!])")


@dataclass(frozen=True, slots=True)
class Table:
    """The first `words` columns are words, the others figures. `notes` are sentences below it; a
    table without rows is its notes alone. `first` is what a person asks for first."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    words: int = 1
    first: bool = False


def as_text(table: Table, width: int | None = None) -> str:
    """Aligned columns; where they need more than `width`, in blocks that begin with the first
    column each."""
    lines = [_cell(table.title)]
    if table.rows:
        grid = [[_cell(each) for each in row] for row in (table.head, *table.rows)]
        for columns in _blocks(grid, width):
            lines += ["", *_aligned(grid, columns, table.words)]
    notes = [_cell(note) for note in table.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def as_markdown(tables: Iterable[Table], level: int = 2) -> str:
    """A section each, with a heading of `level`."""
    return "\n".join(_section(each, level) for each in tables)


def _section(table: Table, level: int) -> str:
    parts = [f"{'#' * level} {_escaped(table.title)}"]
    if table.rows:
        marks = ["---" if at < table.words else "---:" for at in range(len(table.head))]
        grid = [table.head, *table.rows]
        head, *rows = [[_escaped(each) for each in row] for row in grid]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows)))
    if table.notes:
        parts.append("\n".join(f"- {_escaped(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return one_line(text, _LONGEST)


def _escaped(text: str) -> str:
    """HTML as entities, signs that mean something in Markdown with a backslash, addresses not made
    into links."""
    plain = _cell(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marked = _MARKUP.sub(r"\\\1", plain).replace("://", "&#58;//").replace("www.", "www&#46;")
    marked = marked.replace("@", "&#64;")
    return re.sub(r"^([-+=]|\d+[.)](?= |$))", _as_entities, marked)


def _as_entities(found: re.Match[str]) -> str:
    """What would begin a list or a heading, as itself."""
    digits, mark = found[0][:-1], found[0][-1]
    return f"{digits}&#{ord(mark)};"


def _blocks(grid: Sequence[Sequence[str]], width: int | None) -> Iterator[list[int]]:
    """Columns that fit side by side, each time behind the first."""
    widths = _widths(grid)
    block = [0]
    for at in range(1, len(widths)):
        asked = sum(widths[each] + len(_GAP) for each in (*block, at)) - len(_GAP)
        if width is not None and asked > width and len(block) > 1:
            yield block
            block = [0]
        block.append(at)
    yield block


def _aligned(grid: Sequence[Sequence[str]], columns: Sequence[int], words: int) -> Iterator[str]:
    widths = _widths(grid)
    for row in grid:
        shown = []
        for at in columns:
            air = " " * (widths[at] - cells(row[at]))
            shown.append(row[at] + air if at < words else air + row[at])
        yield _GAP.join(shown).rstrip()


def _widths(grid: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*grid, strict=True)]
