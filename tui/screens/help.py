"""Help: where to begin, the keys, and every command with what it gave on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual import on
from textual.binding import ActiveBinding, Binding
from textual.containers import Container, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...sessions.definitions import DEFINITIONS
from ...sessions.measured_here import MeasuredHere
from ...sessions.own_figures import changes_speed, figure_lines, measured_here
from ..beside import beside
from ..commands import table as commands
from ..commands.completing import value_now
from ..commands.grammar import Command, named
from ..commands.help import FIRST_STEPS, KEYS, about, grouped
from ..commands.matching import matching
from ..opening import Desk
from .frame import Frame

PAGES = {
    "First steps": tuple((f"{n}.", step) for n, step in enumerate(FIRST_STEPS, start=1)),
    "Keys": KEYS,
    "Figures": tuple(DEFINITIONS.items()),
}


class HelpScreen(Frame):
    """What is typed narrows the list; Enter puts the example into the chat's input."""

    TITLE = "Help"
    CSS_PATH: ClassVar = ["frame.tcss", "help.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar = [  # before the filter and the screen's own scrolling
        Binding("enter", "use", "Example into the input", priority=True),
        Binding("up", "move('cursor_up')", "Move", priority=True, key_display="Up/Down"),
        Binding("down", "move('cursor_down')", show=False, priority=True),
        Binding("pageup", "turn(-1)", "Scroll", priority=True, key_display="PgUp/PgDn"),
        Binding("pagedown", "turn(1)", show=False, priority=True),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._here: list[MeasuredHere] | None = None  # once it is read

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The way back first: a narrow foot cuts off the last."""
        found = super().active_bindings
        return {key: found[key] for key in ("escape", *found) if key in found}

    def body(self) -> list[Widget]:
        rows = OptionList(id="names", markup=False)
        rows.can_focus = False  # the filter has the keys
        page = VerticalScroll(Static(id="page", markup=False), id="pages", can_focus=False)
        return [
            Input(placeholder="type to find a command", id="filter", compact=True),
            Container(rows, page, id="parts"),
        ]

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._list("")
        if self.argument:
            rows = self.query_one(OptionList)
            rows.highlighted = rows.get_option_index(self.argument)
        beside(self, self._read)

    @on(Input.Changed)
    def narrow(self, change: Input.Changed) -> None:
        self._list(change.value.strip().removeprefix("/"))

    @on(OptionList.OptionHighlighted)
    def tell(self) -> None:
        row = self.query_one(OptionList).highlighted_option
        self.query_one("#page", Static).update(self._page(row.id or "") if row else "")
        self.query_one("#pages").scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def action_use(self) -> None:
        row = self.query_one(OptionList).highlighted_option
        if row and row.id not in PAGES:
            command = named(commands.COMMANDS)[row.id or ""]
            self.dismiss(f"{command.example or f'/{command.name}'} ")

    def action_move(self, how: str) -> None:
        getattr(self.query_one(OptionList), f"action_{how}")()

    def action_turn(self, pages: int) -> None:
        shown = self.query_one("#pages")
        shown.scroll_relative(y=pages * max(shown.size.height - 1, 1), animate=False)

    def _read(self) -> None:
        self._here = measured_here(list(self.desk.chat.log.records))
        self.app.call_from_thread(self.tell)

    def _list(self, typed: str) -> None:
        rows = self.query_one(OptionList)
        rows.clear_options()
        rows.add_options(list(self._found(typed) if typed else self._all()))
        first = next((n for n, each in enumerate(rows.options) if not each.disabled), None)
        rows.highlighted = first
        if first is None:
            self.query_one("#page", Static).update("Nothing is called or described so.")

    def _all(self) -> Iterator[Option]:
        yield from (Option(name, id=name) for name in PAGES)
        for title, group in grouped(commands.COMMANDS):
            yield Option(Text(title, "bold"), disabled=True)
            yield from map(self._row, group)

    def _found(self, typed: str) -> Iterator[Option]:
        found = matching(
            typed,
            commands.COMMANDS,
            lambda each: (each.name, *each.aliases),
            lambda each: each.summary,
        )
        yield from (self._row(each) for _, each in found)
        yield from (Option(name, id=name) for name in PAGES if _rows_with(name, typed))

    def _row(self, command: Command) -> Option:
        now = value_now(command, self.desk.chat)
        return Option(Text.assemble(f"/{command.name}", (f"  {now}", "dim")), id=command.name)

    def _page(self, name: str) -> Text | Table:
        if name in PAGES:
            return _in_columns(_rows_with(name, self.query_one(Input).value.strip()))
        command, chat = named(commands.COMMANDS)[name], self.desk.chat
        lines = [about(command, chat)]
        if self._here is not None:
            own = figure_lines(name, self._here, chat.spec, chat.log.records)
            lines += ["", "On this machine", *own] if own else []
        elif changes_speed(name):
            lines += ["", "Reading what was measured on this machine …"]
        return Text("\n".join(lines))


def _rows_with(page: str, typed: str) -> Sequence[tuple[str, str]]:
    """Those that have what is typed; all of a page that is called so."""
    rows = PAGES[page]
    if typed.lower() in page.lower():
        return rows
    return [row for row in rows if typed.lower() in " ".join(row).lower()]


def _in_columns(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    return table
