"""A list of what is kept, and a line that tells what was done to it."""

from __future__ import annotations

from textual.widgets import Static

from ...sessions.clean import clean
from ..opening import Desk
from .frame import Frame


class Browser(Frame):
    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__(desk, argument)
        self.said = Static("", id="said", markup=False)

    def list_again(self) -> None:
        """What is kept by now."""
        raise NotImplementedError

    def run_line(self, line: str) -> bool:
        """Whether the line could be done; what it told is shown either way."""
        reply = self.desk.run(line)
        self.say(reply.text, reply.ok)
        self.list_again()
        return reply.ok

    def say(self, text: str, ok: bool = True) -> None:
        self.said.set_class(not ok, "-problem")
        self.said.update(clean(text))
