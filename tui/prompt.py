"""The input: several lines, a history, and keys that a chat needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import TextArea

NEW_LINE = ("ctrl+j", "shift+enter", "alt+enter")
COMPLETION = ("up", "down", "tab", "enter", "escape")


class Prompt(TextArea):
    """Enter sends; Up on the first line and Down on the last walk through what was sent."""

    BINDINGS: ClassVar = [
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("end,ctrl+e,ctrl+end", "end", show=False),
    ]

    @dataclass
    class Sent(Message):
        text: str

    @dataclass
    class Completing(Message):
        """A key for the completion list, which is open."""

        key: str

    @dataclass
    class Page(Message):
        """Scroll the transcript by pages; 0 is to its end."""

        pages: int

    def __init__(self) -> None:
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder="Ask something, or / for commands",
        )
        self.cursor_blink = False
        self.completing = False  # the list is open and takes the keys in COMPLETION
        self._history: list[str] = []
        self._place = 0  # in the history; its length is the draft
        self._draft = ""

    async def _on_key(self, event: events.Key) -> None:
        if self.completing and event.key in COMPLETION:
            self.post_message(self.Completing(event.key))
        elif event.key == "enter":
            self.send()
        elif event.key in NEW_LINE:
            self.insert("\n")
        elif event.key == "up" and self.navigator.is_first_wrapped_line(self.cursor_location):
            self._walk(-1)
        elif event.key == "down" and self.navigator.is_last_wrapped_line(self.cursor_location):
            self._walk(1)
        else:
            if event.is_printable:
                self._place = len(self._history)
            return
        event.stop()
        event.prevent_default()

    @property
    def recalled(self) -> bool:
        """The text comes from the history and is not edited yet."""
        return self._place < len(self._history)

    def send(self) -> None:
        """Blank text stays where it is and goes nowhere."""
        if self.text.strip():
            self.post_message(self.Sent(_lines(self.text)))

    def remember(self, text: str) -> None:
        """Puts `text` at the end of the history and empties the input."""
        if self._history[-1:] != [text]:
            self._history.append(text)
        self.write("")

    def write(self, text: str) -> None:
        self.text = text
        self.move_cursor(self.document.end)
        self._place, self._draft = len(self._history), text

    def action_page(self, pages: int) -> None:
        self.post_message(self.Page(pages))

    def action_end(self) -> None:
        """The end of the line, and from there the end of the transcript."""
        if self.cursor_at_end_of_line:
            self.post_message(self.Page(0))
        self.action_cursor_line_end()

    def _walk(self, by: int) -> None:
        place = self._place + by
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self.text = [*self._history, self._draft][place]
        self.move_cursor(self.document.end)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
