"""All turns of the chat in a table, the totals of each method, and the steps of one turn."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import DataTable, Static

from ...sessions import figures
from ...sessions.bench.draw_text import draw_text
from ...sessions.clean import one_line
from ...sessions.turn_book import Entry, TurnBook
from ..chat.steps import HEADER, step_line
from ..opening import Desk
from .frame import Frame
from .row_table import RowTable
from .turn_rows import COLUMNS, cells, in_words, step_chart, totals_lines

EVERY = 0.5  # seconds
SOON = 0.02  # seconds, while a long log is read
LOW = 20  # rows, below which the chart has no room
TOTALS = 4  # lines at most
CHART = 10  # rows that are kept for it
AROUND = 3  # rows: title, what was said, keys
TABLE = 0.45  # of the window, at most
STEPS = 2_000  # of one turn, the last ones, that are listed


class TurnsScreen(Frame):
    TITLE = "Turns of this chat"
    CSS_PATH: ClassVar = ["frame.tcss", "turns.tcss"]
    BINDINGS: ClassVar = [
        Binding("d", "steps", "Steps in numbers"),
        Binding("d", "chart", "Chart"),
        Binding("c", "copy_row", "Copy the figures"),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._book = TurnBook()
        self._table = RowTable(cursor_type="row", zebra_stripes=False)
        self._totals = Static("", id="totals", markup=False)
        self._said = Static("", id="said", markup=False)
        self._chart = Static("", id="chart", markup=False)
        self._steps = Static("", markup=False)
        self._drawn: tuple[object, ...] = ()
        self._most = TOTALS

    def body(self) -> list[Widget]:
        steps = VerticalScroll(self._steps, id="steps")
        return [self._table, self._totals, self._said, self._chart, steps]

    def on_mount(self) -> None:
        for column in COLUMNS:
            self._table.add_column(_cell(column.name, column.numeric), key=column.name)
        self._table.focus()
        self.paint()
        self.set_interval(EVERY, self.paint)

    def on_resize(self, event: events.Resize) -> None:
        height = event.size.height
        low = height < LOW
        room = height - AROUND - CHART
        self._most = max(2, min(TOTALS, room // 3))
        self.set_class(low, "-low")
        self._table.styles.max_height = None if low else min(int(height * TABLE), room - self._most)
        self._totals.update(self._totalled())
        self.call_after_refresh(self._show_one)

    def paint(self) -> None:
        """Shows what the log has; a long one over several calls."""
        at_end = self._table.cursor_row >= self._table.row_count - 1
        records = self.desk.chat.log.records
        changed = self._book.catch_up(records)
        for index in sorted(changed):
            self._fill(index)
        if at_end and changed:
            self._table.move_cursor(row=self._table.row_count - 1)
        if changed or not self._book.entries:
            self._totals.update(self._totalled())
        self._show_one()
        if self._book.read < len(records):
            self.set_timer(SOON, self.paint)

    def _fill(self, index: int) -> None:
        row = cells(self._book.entries[index], self._book.totals, self.desk.clock())
        drawn = [_cell(value, at.numeric) for value, at in zip(row, COLUMNS, strict=True)]
        if index >= self._table.row_count:
            self._table.add_row(*drawn, key=str(index))
            return
        for column, cell in zip(COLUMNS, drawn, strict=True):
            if self._table.get_cell(str(index), column.name) != cell:
                self._table.update_cell(str(index), column.name, cell, update_width=True)

    def _totalled(self) -> str:
        if not self._book.entries:
            return "No turn yet: send a message. What /bench, /race and the like try is no turn."
        lines = totals_lines(self._book.totals)
        if len(lines) > self._most:
            left = figures.counted(len(lines) - self._most + 1, "more method")
            lines[self._most - 1 :] = [f"and {left}"]
        return "\n".join(lines)

    # one turn

    @on(DataTable.RowHighlighted)
    def _show_one(self) -> None:
        """The turn at the cursor: what was said, and its steps."""
        entry = self._entry
        if entry is None or not self.is_mounted:
            return
        listed = self.has_class("-steps")
        seen = (entry, len(entry.steps), entry.ended, listed, self._chart.content_size)
        if seen == self._drawn:
            return
        self._drawn = seen
        self._said.update(f"▸ {one_line(entry.turn.text)}")
        if listed:
            self._steps.update(_step_list(entry, self._steps.content_size.width))
        else:
            self._chart.update(self._drawing(entry))

    @property
    def _entry(self) -> Entry | None:
        entries = self._book.entries
        return entries[min(self._table.cursor_row, len(entries) - 1)] if entries else None

    def _drawing(self, entry: Entry) -> str:
        width, height = self._chart.content_size
        if not height:
            return ""
        if not entry.steps:
            return "No steps: a server tells none, or none was made."
        return draw_text(step_chart(entry), width, height, colour=False)

    # keys

    def action_back(self) -> None:
        if self.has_class("-steps"):
            self.action_chart()
        else:
            self.dismiss(None)

    def check_action(self, action: str, _: tuple[object, ...]) -> bool:
        """One key goes to and fro, and its name says where to."""
        return action not in ("steps", "chart") or (action == "chart") == self.has_class("-steps")

    @on(DataTable.RowSelected)
    def action_steps(self) -> None:
        self._list_steps(True)

    def action_chart(self) -> None:
        self._list_steps(False)

    def _list_steps(self, listed: bool) -> None:
        self.set_class(listed, "-steps")
        (self.query_one("#steps") if listed else self._table).focus()
        self.refresh_bindings()
        self.call_after_refresh(self._show_one)
        self.call_after_refresh(self._keep_in_sight)

    def _keep_in_sight(self) -> None:
        """The row at the cursor, in a table that became lower."""
        self._table.move_cursor(row=self._table.cursor_row)

    def action_copy_row(self) -> None:
        if entry := self._entry:
            row = cells(entry, self._book.totals, self.desk.clock())
            self.app.copy_to_clipboard(in_words(row))
            self.notify("The figures of this turn are copied.", timeout=2)


def _cell(value: str, numeric: bool) -> Text:
    return Text(one_line(value, 40), justify="right" if numeric else "left", no_wrap=True)


def _step_list(entry: Entry, width: int) -> str:
    """A line for each step, as /debug shows it."""
    listed = list(zip(entry.steps, entry.times(), strict=True))[-STEPS:]
    left = len(entry.steps) - len(listed)
    head = [f"… the first {figures.counted(left, 'step')} are left out"] if left else []
    return "\n".join([*head, HEADER[:width], *(step_line(*each, width) for each in listed)])
