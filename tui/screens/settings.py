"""Everything a command can set: its value now, what it takes, and the line that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...sessions.clean import clean, one_line
from ...sessions.config import config_path, read_config
from ..commands.settings import line
from ..opening import Desk
from .frame import Frame
from .setting_editors import Choice, Entry
from .settings_profiles import Profiles
from .settings_rows import Row, matching, problem, rows

if TYPE_CHECKING:
    from ..app import TokenhudApp

EVERY = 0.5  # seconds between two looks at what is set
MARK, NAME = 2, 19  # columns
WIDE = 96  # columns from which a row has room for its sentence
TALL = 14  # rows, from which there is room to tell of the chosen one
HEIGHTS = [(0, "-short"), (TALL, "-tall")]
HEADINGS = ("", "setting", "now", "built in", "what it is")


class Rows(OptionList):
    BINDINGS: ClassVar = [Binding("enter", "select", "Change")]


class SettingsScreen(Frame):
    app: TokenhudApp
    TITLE = "Settings"
    CSS_PATH: ClassVar = ["frame.tcss", "settings.tcss"]
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar = [
        Binding("r", "reset", "Reset"),
        Binding("s", "save", "Save all as defaults"),
        Binding("p", "profiles", "Profiles"),
        # Ahead of the others, so that what is typed at once after it is in the filter already.
        Binding("slash,ctrl+f", "filter", "Filter", key_display="/", priority=True),
        Binding("down", "list", show=False),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._shown: list[Row] = []
        self._said = "\n".join(read_config(config_path()).problems)

    def body(self) -> list[Widget]:
        return [
            Input(placeholder="/ filters", compact=True, id="filter"),
            Static(id="columns", markup=False),
            Rows(id="rows"),
            Static(id="about", markup=False),
        ]

    def on_mount(self) -> None:
        self.set_focus(self._list)
        self.set_interval(EVERY, self._show)

    def on_resize(self) -> None:
        self._shown = []  # each row is as wide as the window
        self._show()

    # what is shown

    @on(Input.Changed, "#filter")
    def _show(self) -> None:
        found = matching(rows(self.desk.chat, self.app.preferences), self._filter.value)
        before, self._shown = self._shown, found
        if found == before:
            return
        if [each.name for each in found] == [each.name for each in before]:
            for row in found:
                self._list.replace_option_prompt(row.name, self._prompt(row))
        else:
            self._rebuild()
        self._tell()

    def _rebuild(self) -> None:
        before = self._list.highlighted_option
        self.query_one("#columns", Static).update(_columns(HEADINGS, self._width))
        self._list.clear_options()
        group = ""
        for row in self._shown:
            if row.group != group:
                self._list.add_option(Option(Text(row.group, "bold"), disabled=True))
            group = row.group
            self._list.add_option(Option(self._prompt(row), row.name))
        names = [each.name for each in self._shown]
        if names:
            kept = before.id if before and before.id in names else None
            self._list.highlighted = self._list.get_option_index(kept or names[0])

    def _prompt(self, row: Row) -> Text:
        mark = "*" if row.changed else ""
        return _columns((mark, row.name, row.now, row.usual, row.about), self._width)

    @on(OptionList.OptionHighlighted, "#rows")
    def _tell(self) -> None:
        """About the row that is chosen, and what was said last: in the title where it is low."""
        row = self._row
        told = f"{row.name}: {row.about}.\nTakes {row.takes}; holds {row.holds}." if row else "–"
        self.query_one("#about", Static).update(f"{told}\n{clean(self._said)}")
        said = one_line(self._said) if self.size.height < TALL else ""
        self.query_one("#title", Static).update(said or self.TITLE)

    # what a person does

    @on(OptionList.OptionSelected, "#rows")
    def _edit(self) -> None:
        row = self._row
        if not row:
            return
        if "\n" in row.now:
            self._say(f"It has several lines: type /{row.name} TEXT in the chat, with Ctrl+J.")
        elif row.names:
            self.app.push_screen(Choice(row.name, row.names, row.now), self._set)
        else:
            about = f"{row.name}: {row.about}. Takes {row.takes}; empty is {row.usual}."
            entry = Entry(about, row.now, lambda text: problem(row, text))
            self.app.push_screen(entry, self._set)

    def _set(self, value: str | None) -> None:
        """None leaves it as it is, and nothing at all is the usual value."""
        row = self._row
        if row and value is not None:
            self._run(line(self.desk.chat, row.name, value or row.usual))

    def action_reset(self) -> None:
        self._set("")

    def action_save(self) -> None:
        self._run("/settings save")

    def action_profiles(self) -> None:
        self.app.push_screen(Profiles(self.desk.chat), self._profile)

    def _profile(self, typed: str | None) -> None:
        if typed:
            self._run(typed)

    def _run(self, typed: str) -> None:
        reply = self.desk.run(typed)
        self._say(reply.text if reply.text or not reply.job else "The chat goes there …")

    def _say(self, text: str) -> None:
        self._said = text
        self._show()
        self._tell()

    # the filter

    def check_action(self, action: str, _: tuple[object, ...]) -> bool | None:
        return not (action == "filter" and self._filter.has_focus)

    def action_filter(self) -> None:
        self.set_focus(self._filter)

    @on(Input.Submitted, "#filter")
    def action_list(self) -> None:
        self.set_focus(self._list)

    def action_back(self) -> None:
        """From the filter to all rows, and from there to the chat."""
        if self._filter.has_focus or self._filter.value:
            self._filter.value = ""
            self.set_focus(self._list)
        else:
            super().action_back()

    @property
    def _list(self) -> Rows:
        return self.query_one("#rows", Rows)

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    @property
    def _width(self) -> int:
        return self.size.width - 4

    @property
    def _row(self) -> Row | None:
        option = self._list.highlighted_option
        return next((each for each in self._shown if option and each.name == option.id), None)


def _columns(texts: tuple[str, ...], width: int) -> Text:
    """A row of the list; its sentence only where there is room."""
    room = max(width - MARK - NAME, 2)
    widths = (24, 14, room - 38) if width >= WIDE else (room - room // 3, room // 3)
    row = Text(no_wrap=True)
    for text, columns in zip(texts, (MARK, NAME, *widths), strict=False):
        cell = Text(one_line(text))
        cell.truncate(columns - 1, overflow="ellipsis", pad=True)
        row.append_text(cell).append(" ")
    return row
