"""A table of saved sessions: rows come as they are reached, figures as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.widgets.data_table import RowDoesNotExist

from ...sessions import figures
from ...sessions.clean import one_line
from ...sessions.library import Glance
from ...sessions.places import Session
from ...sessions.search import Hit, Words
from ..headless.session_words import when
from .row_table import RowTable

PAGE = 100  # rows that are added at a time
NEAR = 10  # rows from the last, where the next page is due
OPEN = "▸ "  # before the session that the chat goes on in
BEFORE = 8  # characters before the first word that is found
FOUND = "bold underline"
Columns = Sequence[tuple[str, str, int | None]]  # key, head, width


class SessionTable(RowTable):
    LISTED: ClassVar[Columns] = (
        ("name", "session", 23),
        ("when", "last used", 16),
        ("turns", "turns", 5),
        ("rate", "tok/s", 6),
        ("methods", "methods", 22),
        ("model", "model", 24),
    )
    SEARCHED: ClassVar[Columns] = (
        ("name", "session", 16),
        ("found", "found", 60),
        *LISTED[1:],
    )

    def __init__(self) -> None:
        super().__init__(id="sessions", cursor_type="row", zebra_stripes=False)
        self._waiting: list[Session] = []  # of those to be shown, what has no row yet
        self._shown: dict[str, Session] = {}
        self._known: dict[Session, Glance] = {}
        self._open: Path | None = None

    def fill(self, sessions: Iterable[Session], open_: Path | None, searched: bool) -> None:
        """The cursor stays at its session, or at its place."""
        before, row = self.current, self.cursor_row
        self._waiting, self._shown, self._open = list(sessions), {}, open_
        self.clear(columns=True)
        for key, head, width in self.SEARCHED if searched else self.LISTED:
            self.add_column(head, width=width, key=key)
        self._add_page()
        while before and before.name not in self._shown and before in self._waiting:
            self._add_page()
        if before and before.name in self._shown:
            row = self.get_row_index(before.name)
        self.move_cursor(row=min(row, self.row_count - 1))

    @property
    def current(self) -> Session | None:
        """Where the cursor is."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self._shown.get(self.ordered_rows[self.cursor_row].key.value or "")

    def drop(self, session: Session) -> None:
        """Takes its row off."""
        del self._shown[session.name]
        self.remove_row(session.name)

    def action_scroll_bottom(self) -> None:
        """To the last of all, not of those that have a row."""
        while self._waiting:
            self._add_page()
        super().action_scroll_bottom()

    def unread(self) -> list[Session]:
        """What can be seen and has no figures yet; where the last row is near, more rows come."""
        top = int(self.scroll_y)
        bottom = max(top + self.size.height, self.cursor_row)
        if self._waiting and bottom >= self.row_count - NEAR:
            self._add_page()
        seen = [self._shown[each.key.value or ""] for each in self.ordered_rows[top : bottom + 1]]
        return [each for each in seen if each not in self._known]

    def know(self, found: Glance) -> None:
        self._known[found.session] = found
        if self._shown.get(found.session.name) == found.session:
            self._put(found.session.name, _figures(found))

    def mark(self, session: Session, hit: Hit, words: Words) -> None:
        """A session that has the words that are searched; only its first hit has room."""
        if session in self._waiting:
            self._waiting.remove(session)
        if session.name not in self._shown:
            self._add(session)
        self._put(session.name, {"found": marked(_from_words(hit.excerpt, words), words)})

    def _add_page(self) -> None:
        page, self._waiting = self._waiting[:PAGE], self._waiting[PAGE:]
        for each in page:
            self._add(each)

    def _add(self, session: Session) -> None:
        self._shown[session.name] = session
        mark = OPEN if self._open and session.path == self._open else ""
        values = {"name": _cell(mark + session.name), "when": _cell(when(session))}
        if session in self._known:
            values |= _figures(self._known[session])
        row = [values.get(each.key.value or "", Text("")) for each in self.ordered_columns]
        self.add_row(*row, key=session.name)

    def _put(self, name: str, values: dict[str, Text]) -> None:
        for column, value in values.items():
            with suppress(RowDoesNotExist):
                self.update_cell(name, column, value, update_width=True)


def marked(text: str, words: Words) -> Text:
    """`text` with the words in it marked."""
    shown = _cell(text)
    for begin, end in words.spans(shown.plain):
        shown.stylize(FOUND, begin, end)
    return shown


def _from_words(text: str, words: Words) -> str:
    """`text` from shortly before the words, which the column may have no room for else."""
    begin = max(0, min((begin for begin, _ in words.spans(text)), default=0) - BEFORE)
    return f"…{text[begin:].lstrip('…')}" if begin else text


def _figures(found: Glance) -> dict[str, Text]:
    if found.fault:
        shown = found.fault.replace(one_line(str(found.session.path)), "It")
        return {"methods": _cell(shown)}
    rate = f"{'' if found.whole else '~'}{figures.rate(found.decode_rate)}"
    return {
        "turns": Text(figures.count(found.turns), justify="right"),
        "rate": Text(rate, justify="right"),
        "methods": _cell(", ".join(found.methods) or figures.ABSENT),
        "model": _cell(found.model or figures.ABSENT),
    }


def _cell(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")
