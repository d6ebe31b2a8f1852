"""The saved sessions: searched, looked at, gone on with, renamed, deleted and taken back."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.binding import Binding
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static
from textual.worker import Worker, get_current_worker

from ...engines.events import EngineError
from ...sessions.clean import one_line
from ...sessions.library import Glance, glance
from ...sessions.places import Session, deleted_folder, list_sessions, session_folder
from ...sessions.typed_names import quoted
from ..beside import beside
from ..headless.session_words import NONE_DELETED, NONE_SAVED
from ..opening import Desk
from .browser import Browser
from .session_preview import SessionPreview
from .session_search import SessionSearch
from .session_table import SessionTable

EVERY = 0.25  # seconds between two looks at what has to be read
WIDE = 120  # columns, from which on the preview stands beside the list
LOW = 16  # rows, below which there is one of them at a time


class SessionsScreen(Browser):
    TITLE = "Saved sessions"
    COMMAND = "sessions"
    CSS_PATH: ClassVar = ["frame.tcss", "sessions.tcss"]
    AUTO_FOCUS = "SessionTable"
    BINDINGS: ClassVar = [
        Binding("enter", "load", "Load", priority=True),
        Binding("enter", "restore", "Restore", priority=True),
        Binding("slash,ctrl+f", "search", "Search", key_display="/"),
        Binding("r", "rename", "Rename"),
        Binding("d,delete", "delete", "Delete"),
        Binding("d,delete", "purge", "For ever"),
        Binding("u", "take_back", "Undo"),
        Binding("p", "replay", "Replay"),
        Binding("x", "turn", "Deleted"),
        Binding("x", "turn_back", "Saved ones"),
        Binding("down", "to_list", "To the list", show=False),
    ]

    @dataclass
    class Read(Message):
        glance: Glance

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self._table = SessionTable()
        self._all: list[Session] = []
        self._fault = ""  # why they can't be listed
        self._deleted = False  # those are listed
        self._asked: Session | None = None  # to be removed for ever, once it is asked for again
        self._renamed: Session | None = None
        self._reading: Worker[None] | None = None

    def body(self) -> list[Widget]:
        self._search = SessionSearch(self.argument)
        self._new_name = Input(id="name", placeholder="a new name")
        self._preview = SessionPreview()
        panes = Container(self._table, self._preview, id="panes")
        return [self._search, panes, self._new_name, self.said]

    def on_mount(self) -> None:
        self.list_again()
        self.set_interval(EVERY, self._catch_up)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self.set_class(event.size.height < LOW, "-low")

    # the list

    def read_list(self) -> list[Session]:
        folder = session_folder()
        return list_sessions(deleted_folder(folder) if self._deleted else folder)

    def show_list(self, found: list[Session], fault: str) -> None:
        self._all, self._fault = found, fault
        self._filter()

    def current_name(self) -> str:
        return self._table.current.name if self._table.current else ""

    def drop(self) -> None:
        if session := self._table.current:
            self._all = [each for each in self._all if each != session]
            self._table.drop(session)

    def _filter(self) -> None:
        search, named = self._search, self._search.names(self._all)
        self._table.fill(named, self.desk.chat.log.path, searched=bool(search.value.strip()))
        for session in named:
            if search.words and (hits := search.hits.get(session.name)):
                self._table.mark(session, hits[0], search.words)
        if not self._all:
            none = NONE_DELETED if self._deleted else NONE_SAVED
            self._preview.say(self._fault or none)
        elif not named:
            self._preview.say("No name has these words.")
        self.refresh_bindings()

    def _catch_up(self) -> None:
        """Reads the figures of what is seen."""
        if self._reading and not self._reading.is_finished:
            return
        if unread := self._table.unread():
            read = partial(self._glance, unread)
            self._reading = beside(self, read, "glance")

    def _glance(self, sessions: Iterable[Session]) -> None:
        for each in sessions:
            if get_current_worker().is_cancelled:
                return
            self.post_message(self.Read(glance(each)))

    @on(Read)
    def _know(self, read: Read) -> None:
        self._table.know(read.glance)

    # the preview and the search

    @on(DataTable.RowHighlighted)
    def _look(self) -> None:
        if self._asked and self._asked != self._table.current:
            self.say("")
        self._show_hits()
        if session := self._table.current:
            self._preview.look(session)

    def _show_hits(self) -> None:
        session = self._table.current
        hits = self._search.hits.get(session.name, []) if session else []
        self._preview.show_hits(hits, self._search.words)

    @on(Input.Changed, "#search")
    def _typed(self) -> None:
        self._search.stop()
        self.say("")
        self._filter()
        if self._search.value.strip() and not self._deleted:
            self._search.search_soon(self._all)

    @on(Input.Submitted, "#search")
    def _sent(self) -> None:
        if not self._search.words and not self._deleted:
            self._search.search_now(self._all)
        self._table.focus()

    @on(SessionSearch.Found)
    def _show_found(self, found: SessionSearch.Found) -> None:
        hits = self._search.take(found)
        if len(hits) == 1 and found.session in self._all:
            self._table.mark(found.session, found.hit, found.words)
        if hits and found.session == self._table.current:
            self._show_hits()

    @on(SessionSearch.Went)
    def _tell_search(self, went: SessionSearch.Went) -> None:
        if went.words is self._search.words:
            self.say(went.told)

    # what the keys do

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool:
        """Which keys mean something now, and so stand at the foot."""
        listed = not isinstance(self.focused, Input)  # whose keys they are else
        here = listed and self._table.current is not None
        match action:
            case "load" | "rename" | "replay" | "delete":
                return here and not self._deleted
            case "restore" | "purge":
                return here and self._deleted
            case "search":
                return listed and bool(self._all)
            case "turn":
                return listed and not self._deleted
            case "turn_back":
                return listed and self._deleted
            case "take_back":
                return listed and bool(self.taken)
            case _:
                return True

    @on(DataTable.RowSelected)
    def _chosen(self) -> None:
        if self._deleted:
            self.action_restore()
        else:
            self.action_load()

    def action_load(self) -> None:
        if session := self._table.current:
            self._leave_with("load", session)

    def action_replay(self) -> None:
        if session := self._table.current:
            self._leave_with("replay", session)

    def _leave_with(self, command: str, session: Session) -> None:
        if command == "load" and session.path == self.desk.chat.log.path:
            self.say("That is this session; Esc goes back to it.")
        else:
            self.dismiss(f"/{command} {quoted(session.name)}")

    def action_restore(self) -> None:
        if session := self._table.current:
            self._out_of_bin("restore", session)

    def action_purge(self) -> None:
        session = self._table.current
        if session and self._asked == session:
            self._out_of_bin("purge", session)
        elif session:
            self.say(f"d again removes {one_line(session.name)} for ever; nothing brings it back.")
            self._asked = session

    def _out_of_bin(self, verb: str, session: Session) -> None:
        if self.run_line(f"/sessions {verb} {quoted(session.name)}"):
            self.taken = [each for each in self.taken if each != session.name]
            self.drop()
            self.refresh_bindings()

    def say(self, text: str, ok: bool = True) -> None:
        self._asked = None  # its question is no longer seen
        super().say(text, ok)

    def deleted_names(self) -> set[str]:
        try:
            return {each.name for each in list_sessions(deleted_folder(session_folder()))}
        except EngineError:
            return set()

    def action_rename(self) -> None:
        if session := self._table.current:
            self._renamed = session
            self._new_name.value = session.name
            self.say(f"A new name for {one_line(session.name)}; Esc leaves it.")
            self.add_class("-renaming")
            self._new_name.focus()

    @on(Input.Submitted, "#name")
    def _rename(self) -> None:
        old, new = self._renamed.name if self._renamed else "", self._new_name.value.strip()
        if new == old:
            self.say("")
            self._end_rename()
        elif self.run_line(f"/sessions rename {shlex.quote(old)} {shlex.quote(new)}"):
            self._end_rename()

    def _end_rename(self) -> None:
        self.remove_class("-renaming")
        self._table.focus()

    def action_search(self) -> None:
        self._search.focus()

    def action_to_list(self) -> None:
        self._table.focus()

    def action_turn(self) -> None:
        self._turn(True)

    def action_turn_back(self) -> None:
        self._turn(False)

    def _turn(self, deleted: bool) -> None:
        """To the deleted sessions, or back."""
        self._deleted = deleted
        self._search.stop()
        self.say("")
        self.query_one("#title", Static).update("Deleted sessions" if deleted else self.TITLE)
        self.refresh_bindings()
        self.list_again()

    def action_back(self) -> None:
        """One step: out of the new name, the search, the deleted ones, the screen."""
        if self.has_class("-renaming"):
            self.say("")
            self._end_rename()
        elif self._search.value:
            self._search.value = ""
            self._table.focus()
        elif self._deleted:
            self._turn(False)
        elif self._search.has_focus:
            self._table.focus()
        else:
            self.dismiss(None)
