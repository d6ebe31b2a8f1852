"""A list of what is kept, what can be done to it, and a line that tells what was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.message import Message
from textual.widgets import Static

from ...engines.events import EngineError
from ...sessions.clean import clean, one_line
from ...sessions.typed_names import quoted
from ..beside import beside
from ..opening import Desk
from .frame import Frame


class Browser(Frame):
    COMMAND: ClassVar[str]  # whose lines are run

    @dataclass
    class Listed(Message):
        number: int  # 1, 2, ...: a later one is asked for where something has changed
        found: list[Any]
        fault: str = ""  # why nothing could be found

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self.said = Static("", id="said", markup=False)
        self.taken: list[str] = []  # deleted names that can be taken back, the last one first
        self._listings = 0

    def read_list(self) -> list[Any]:
        """What is kept by now, in a thread. Raises EngineError."""
        raise NotImplementedError

    def show_list(self, found: list[Any], fault: str) -> None:
        raise NotImplementedError

    def current_name(self) -> str:
        """Where the cursor is; "" where nothing is."""
        raise NotImplementedError

    def drop(self) -> None:
        """Takes the row at the cursor off, before the list is read again."""
        raise NotImplementedError

    def deleted_names(self) -> set[str]:
        """Those that can be restored."""
        raise NotImplementedError

    def list_again(self) -> None:
        self._listings += 1
        beside(self, partial(self._read, self._listings), "list")

    def _read(self, number: int) -> None:
        try:
            self.post_message(self.Listed(number, self.read_list()))
        except EngineError as error:
            self.post_message(self.Listed(number, [], str(error)))

    @on(Listed)
    def _take_list(self, listed: Listed) -> None:
        if listed.number < self._listings:
            return
        if listed.fault:
            self.say(listed.fault, False)
        self.show_list(listed.found, listed.fault)
        self.refresh_bindings()

    def action_delete(self) -> None:
        name, before = self.current_name(), self.deleted_names()
        if name and self.run_line(f"/{self.COMMAND} delete {quoted(name)}"):
            self.taken.insert(0, next(iter(self.deleted_names() - before), name))
            self.drop()
            self.say(f"{one_line(name)} is deleted; u takes it back.")
            self.refresh_bindings()

    def action_take_back(self) -> None:
        name = self.taken[0]
        done = self.run_line(f"/{self.COMMAND} restore {quoted(name)}")
        if done or name not in self.deleted_names():
            del self.taken[0]
            self.refresh_bindings()

    def run_line(self, line: str) -> bool:
        """Whether the line could be done; what it told is shown either way."""
        reply = self.desk.run(line)
        self.say(reply.text, reply.ok)
        self.list_again()
        return reply.ok

    def say(self, text: str, ok: bool = True) -> None:
        self.said.set_class(not ok, "-problem")
        self.said.update(clean(text))
