"""A table of kept results; what only a whole result tells comes as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.text import Text
from textual.widgets.data_table import RowDoesNotExist

from ...sessions import figures
from ...sessions.bench.saved_results import Saved
from ...sessions.clean import one_line
from .row_table import RowTable

COLUMNS = (
    ("name", "result", 27),
    ("rate", "tok/s", 6),
    ("verdict", "verdict", 41),
    ("methods", "methods", 24),
    ("purpose", "purpose", 9),
    ("when", "when", 16),
)
MARK = "✓ "


class ResultsTable(RowTable):
    def __init__(self) -> None:
        super().__init__(id="results", cursor_type="row")
        self._rows: list[Saved] = []
        self._known: dict[Path, tuple[str, str]] = {}  # rate and verdict
        self._marked: Sequence[Path] = ()

    def on_mount(self) -> None:
        for key, head, width in COLUMNS:
            self.add_column(head, width=width, key=key)

    def fill(self, found: Sequence[Saved]) -> None:
        """The cursor stays at its result, or at its place."""
        before, row = self.current, self.cursor_row
        self._rows = list(found)
        self.clear()
        for each in found:
            fault = each.fault.replace(one_line(str(each.path)), "…")
            rate, verdict = self._known.get(each.path, ("", fault))
            values = (
                _named(each.path, self._marked),
                rate,
                verdict,
                ", ".join(each.methods) or figures.ABSENT,
                each.purpose or (figures.ABSENT if each.fault else "single"),
                each.created[:16].replace("T", " ") or figures.ABSENT,
            )
            self.add_row(*map(_cell, values), key=str(each.path))
        paths = [each.path for each in found]
        row = paths.index(before.path) if before and before.path in paths else row
        self.move_cursor(row=min(row, len(found) - 1))

    @property
    def current(self) -> Saved | None:
        """Where the cursor is."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def drop(self, saved: Saved) -> None:
        """Takes its row off."""
        self._rows.remove(saved)
        self.remove_row(str(saved.path))

    def unread(self) -> list[Saved]:
        """What can be seen and has no verdict yet."""
        top = int(self.scroll_y)
        seen = self._rows[top : top + max(self.size.height, 1)]
        return [each for each in seen if each.path not in self._known and not each.fault]

    def mark(self, paths: Sequence[Path]) -> None:
        """These and no others."""
        before, self._marked = self._marked, tuple(paths)
        for path in {*before, *paths}:
            self._put(path, "name", _named(path, paths))

    def know(self, path: Path, rate: str, verdict: str) -> None:
        self._known[path] = rate, verdict
        self._put(path, "rate", rate)
        self._put(path, "verdict", verdict)

    def _put(self, path: Path, column: str, value: str) -> None:
        with suppress(RowDoesNotExist):
            self.update_cell(str(path), column, _cell(value), update_width=True)


def _named(path: Path, marked: Sequence[Path]) -> str:
    return f"{MARK if path in marked else ''}{path.name}"


def _cell(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")
