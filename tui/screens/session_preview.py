"""One saved session as it is looked at: what was found in it, how it began, what it came to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from ...engines.events import EngineError
from ...sessions.clean import one_line
from ...sessions.overview import preview
from ...sessions.places import Session
from ...sessions.search import Hit, Words
from ..beside import beside
from ..headless.session_words import begun, came_to, hit_head
from .session_table import marked

SETTLED = 0.1  # seconds that the cursor rests before a session is read
HITS = 20  # that are listed


class SessionPreview(VerticalScroll):
    @dataclass
    class Read(Message):
        session: Session
        begun: str
        figures: str

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._found, self._begun, self._figures = (
            Static("", id=name, markup=False) for name in ("found", "begun", "figures")
        )
        self._session: Session | None = None

    def compose(self) -> ComposeResult:
        yield self._found
        yield self._begun
        yield self._figures

    def look(self, session: Session) -> None:
        """Reads it in a thread, unless the next one is looked at before."""
        self._session = session
        beside(self, partial(self._read, session), exclusive=True)

    def say(self, why: str) -> None:
        """In place of a session."""
        self._session = None
        self._begun.update(why)
        self._figures.update("")

    def show_hits(self, hits: Sequence[Hit], words: Words | None) -> None:
        shown = hits[:HITS] if words else ()
        lines = [marked(f"{hit_head(each)}: {each.excerpt}", words) for each in shown if words]
        self._found.display = bool(lines)
        self._found.update(Text("\n").join(lines))

    def _read(self, session: Session) -> None:
        worker = get_current_worker()
        time.sleep(SETTLED)
        if worker.is_cancelled:
            return
        try:
            found = preview(session.path)
            self.post_message(self.Read(session, begun(found), came_to(found)))
        except EngineError as error:
            self.post_message(self.Read(session, str(error), ""))

    @on(Read)
    def _show(self, seen: Read) -> None:
        if seen.session == self._session:
            self._begun.update(f"{one_line(seen.session.name)}\n{seen.begun}")
            self._figures.update(seen.figures)
            self.scroll_home(animate=False)
