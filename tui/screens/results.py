"""What benchmarks have kept: looked at in tables and charts, compared, deleted and taken back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Static
from textual.worker import Worker, get_current_worker

from ...engines.events import EngineError
from ...sessions.bench.saved_results import Saved, looked, report
from ...sessions.clean import clean, one_line
from ...sessions.places import deleted_folder, results_folder
from ..beside import beside
from ..commands.results import NONE_KEPT
from ..opening import Desk
from .browser import Browser
from .results_table import ResultsTable

if TYPE_CHECKING:
    from .result_view import View

EVERY = 0.25  # seconds between two looks at what has to be read
WIDE = 120  # columns, from which on a result stands beside the list
LOW = 14  # rows, below which there is one of them at a time
MARKS = 2  # results that are compared


class ResultsScreen(Browser):
    TITLE = "Results"
    COMMAND = "results"
    CSS_PATH: ClassVar = ["frame.tcss", "results.tcss"]
    AUTO_FOCUS = "ResultsTable"
    BINDINGS: ClassVar = [
        Binding("enter", "read", "Read", priority=True),
        Binding("right", "page(1)", "Charts", priority=True, key_display="←/→"),
        Binding("left", "page(-1)", "Charts", priority=True, show=False),
        Binding("space", "mark", "Mark"),
        Binding("c", "compare", "Compare"),
        Binding("y", "copy", "Copy"),
        Binding("d,delete", "delete", "Delete"),
        Binding("u", "take_back", "Undo"),
    ]

    @dataclass
    class Judged(Message):
        path: Path
        rate: str
        verdict: str

    @dataclass
    class Drawn(Message):
        head: str
        text: str

    @dataclass
    class Written(Message):
        """A report, for the clipboard; or why there is none."""

        text: str
        ok: bool = True

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._table = ResultsTable()
        self._views: dict[Path, View] = {}
        self._viewing = threading.Lock()  # nothing is read twice
        self._marked: list[Path] = []  # the reference first
        self._comparing = False
        self._page = 0  # charts follow the tables
        self._judging: Worker[None] | None = None

    def body(self) -> list[Widget]:
        self._head = Static("", id="head", markup=False)
        self._text = Static("", id="text", markup=False)
        self._scroll = VerticalScroll(self._text, id="scroll")
        shown = Container(self._head, self._scroll, id="shown")
        return [Container(self._table, shown, id="panes"), self.said]

    def on_mount(self) -> None:
        self.list_again()
        self.set_interval(EVERY, self._catch_up)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self.set_class(event.size.height < LOW, "-low")
        self.call_after_refresh(self._draw)

    # the list

    def read_list(self) -> list[Saved]:
        return looked(results_folder())

    def show_list(self, found: list[Saved], fault: str) -> None:
        paths = {each.path for each in found}
        self._mark([each for each in self._marked if each in paths])
        self._table.fill(found)
        if not found:
            self._head.update("")
            self._text.update(clean(fault) or NONE_KEPT)

    def current_name(self) -> str:
        return self._table.current.path.name if self._table.current else ""

    def drop(self) -> None:
        if saved := self._table.current:
            self._mark([each for each in self._marked if each != saved.path])
            self._table.drop(saved)

    def deleted_names(self) -> set[str]:
        try:
            return {each.path.name for each in looked(deleted_folder(results_folder()))}
        except EngineError:
            return set()

    def _catch_up(self) -> None:
        """Reads what the list tells of the results that are seen."""
        if self._judging and not self._judging.is_finished:
            return
        if unread := self._table.unread():
            self._judging = beside(self, partial(self._judge, unread))

    def _judge(self, found: list[Saved]) -> None:
        from .result_view import best

        for each in found:
            if get_current_worker().is_cancelled:
                return
            try:
                whole = self._view(each.path).report
                told = best(whole.result) if whole else None
                rate, verdict = (told.rate, told.verdict) if told else ("", _files(each))
            except EngineError as error:
                rate, verdict = "", str(error)
            self.post_message(self.Judged(each.path, rate, verdict))

    @on(Judged)
    def _know(self, judged: Judged) -> None:
        self._table.know(judged.path, judged.rate, judged.verdict)

    def _view(self, path: Path) -> View:
        """In a thread. Raises EngineError."""
        from .result_view import view  # with libraries that the screen opens without

        with self._viewing:
            if path not in self._views:
                self._views[path] = view(path)
            return self._views[path]

    # one result

    @on(DataTable.RowHighlighted)
    def _look(self) -> None:
        self._page, self._comparing = 0, False
        self._scroll.scroll_home(animate=False)
        self.refresh_bindings()
        self._draw()

    def _draw(self) -> None:
        saved = self._table.current
        if saved:
            if saved.path not in self._views and not saved.fault:
                self._head.update(f"{one_line(saved.path.name)} · reading")
                self._text.update("")
            width, height = self._scroll.size.width - 2, self._scroll.size.height
            drawing = partial(self._drawing, saved, self._compared(), max(width, 20), height)
            beside(self, drawing, "draw", exclusive=True)

    def _compared(self) -> list[Path]:
        return list(self._marked) if self._comparing else []

    def _drawing(self, saved: Saved, compare: list[Path], width: int, height: int) -> None:
        try:
            head, text = self._told(saved, compare, width, height)
        except EngineError as error:
            head, text = one_line(saved.path.name), str(error)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Drawn(head, text))

    def _told(self, saved: Saved, compare: list[Path], width: int, height: int) -> tuple[str, str]:
        if compare:
            from .result_view import compared

            there, here = map(self._view, compare)
            return "compared · Esc ends it", compared(here, there, width)
        if saved.fault:
            raise EngineError(saved.fault)
        view, name = self._view(saved.path), one_line(saved.path.name)
        pages = 1 + len(view.charts)
        page = self._page % pages
        head = f"{name} · {page + 1} of {pages}{' · ←/→' if pages > 1 else ''}"
        if page:
            return head, view.chart(page - 1, width, height)
        return head, view.full(width) if self.has_class("-reading") else view.first(width)

    @on(Drawn)
    def _show(self, drawn: Drawn) -> None:
        self._head.update(drawn.head)
        self._text.update(clean(drawn.text))

    # what the keys do

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool:
        """Which keys mean something now, and so stand at the foot."""
        match action:
            case "take_back":
                return bool(self.taken)
            case "compare":
                return len(self._marked) == MARKS
            case "read":
                return self._table.current is not None and not self.has_class("-reading")
            case "delete":
                return self._table.current is not None
            case "mark" | "copy" | "page":
                return self._table.current is not None and not self._table.current.fault
            case _:
                return True

    @on(DataTable.RowSelected)
    def action_read(self) -> None:
        """The whole report, where the list was too."""
        if self._table.current:
            self._turn_to(reading=True)

    def action_page(self, by: int) -> None:
        self._page, self._comparing = self._page + by, False
        self._scroll.scroll_home(animate=False)
        self._draw()

    def action_mark(self) -> None:
        saved = self._table.current
        if not saved or saved.fault:
            return
        if saved.path in self._marked:
            self._mark([each for each in self._marked if each != saved.path])
        else:
            self._mark([*self._marked, saved.path][-MARKS:])
        told = "" if len(self._marked) < MARKS else "c compares the second with the first, "
        names = [one_line(each.name, 40) for each in self._marked]
        self.say(f"{told}{' and '.join(names)}" if told else "Space marks another to compare.")
        self.refresh_bindings()

    def _mark(self, paths: list[Path]) -> None:
        """These and no others; a comparison of others ends."""
        ended = self._comparing and paths != self._marked
        self._marked = paths
        self._table.mark(paths)
        if ended:
            self._comparing = False
            self._draw()

    def action_compare(self) -> None:
        self._comparing = True
        self._scroll.scroll_home(animate=False)
        self._draw()

    def action_copy(self) -> None:
        saved = self._table.current
        if saved and not saved.fault:
            beside(self, partial(self._write, saved))

    def _write(self, saved: Saved) -> None:
        try:
            self.post_message(self.Written(report([saved])))
        except EngineError as error:
            self.post_message(self.Written(str(error), ok=False))

    @on(Written)
    def _copy(self, written: Written) -> None:
        if written.ok:
            self.app.copy_to_clipboard(written.text)
        self.say("The report is copied, as Markdown." if written.ok else written.text, written.ok)

    def action_back(self) -> None:
        """One step: out of the whole report, the comparison, the screen."""
        if self.has_class("-reading"):
            self._turn_to(reading=False)
        elif self._comparing:
            self._comparing = False
            self._draw()
        else:
            self.dismiss(None)

    def _turn_to(self, reading: bool) -> None:
        self.set_class(reading, "-reading")
        self._page = 0
        (self._scroll if reading else self._table).focus()
        self._scroll.scroll_home(animate=False)
        self.refresh_bindings()
        self.call_after_refresh(self._draw)


def _files(saved: Saved) -> str:
    return ", ".join(each.name for each in saved.single)
