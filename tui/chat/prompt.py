"""The input: several lines, a history, and keys that a chat needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea

from ...sessions.chat import Chat
from ...sessions.clean import clean
from ..commands import table as commands
from .completion import Completion

# the last is what xterm's modifyOtherKeys makes of Shift+Enter
NEW_LINE = ("ctrl+j", "shift+enter", "alt+enter", "shift+\r")


class Prompt(TextArea):
    """Enter sends; Up on the first line and Down on the last walk through what was sent.

    Everything a key does happens at once, before the next key is looked at: what is typed fast
    behind an Enter stays.
    """

    BINDINGS: ClassVar = [
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("end,ctrl+e,ctrl+end", "end", show=False),
    ]

    @dataclass
    class Sent(Message):
        """The input was emptied; `restore` puts the text back."""

        text: str

    @dataclass
    class Page(Message):
        """Scroll the transcript by pages; 0 is to its end."""

        pages: int

    def __init__(self, completion: Completion, chat: Chat) -> None:
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder="Ask something, or / for commands",
        )
        self.cursor_blink = False
        self._completion = completion
        self._chat = chat
        self._history: list[str] = []
        self._place = 0  # in the history; its length is the draft
        self._draft = ""
        self._refused = ""

    def render_line(self, y: int) -> Strip:
        """Textual 8.2.8 cannot wrap the placeholder into no columns."""
        if self.content_size.width < 1:
            return Strip.blank(self.size.width)
        return super().render_line(y)

    def get_line(self, line_index: int) -> Text:
        """A pasted or recalled control character is kept in the text and never drawn."""
        line = super().get_line(line_index)
        return Text("".join(clean(each) or " " for each in line.plain), end="", no_wrap=True)

    async def _on_key(self, event: events.Key) -> None:
        if self._press(event.key):
            event.stop()
            event.prevent_default()
        elif event.is_printable:
            self._place = len(self._history)

    def clear_to_history(self) -> str:
        """Empties the input; Up brings the text back."""
        text = self.text.replace("\r\n", "\n").replace("\r", "\n")
        if self._history[-1:] != [text]:
            self._history.append(text)
        self.write("")
        return text

    def restore(self, text: str) -> None:
        """Back into the input for mending, before anything typed since."""
        self._history[-1:] = []
        self.write(f"{text}\n{self.text}" if self.text else text)
        self._refused = self.text

    @property
    def refused(self) -> bool:
        """A line that was restored stands as it was."""
        return bool(self.text) and self.text == self._refused

    def write(self, text: str) -> None:
        self._place = len(self._history)
        self._set(text)

    @on(TextArea.Changed)
    def suggest(self) -> None:
        recalled = self._place < len(self._history)
        self._completion.show([] if recalled else commands.suggest(self.text, self._chat))

    def action_page(self, pages: int) -> None:
        self.post_message(self.Page(pages))

    def action_end(self) -> None:
        """The end of the line, and from there the end of the transcript."""
        if self.cursor_at_end_of_line:
            self.post_message(self.Page(0))
        self.action_cursor_line_end()

    def _press(self, key: str) -> bool:
        """False where the key is an ordinary one."""
        if key in ("up", "down", "tab", "enter"):
            self.suggest()  # the list may lag behind fast typing
            return self._press_completing(key) if self._completion.display else self._move(key)
        if key in NEW_LINE:
            self.insert("\n")
            return True
        return False

    def _press_completing(self, key: str) -> bool:
        match key:
            case "up":
                self._completion.action_cursor_up()
            case "down":
                self._completion.action_cursor_down()
            case "enter" if self._completion.marked is None:
                self._send()
            case _:
                self.write(self._completion.first.insert)
        return True

    def _move(self, key: str) -> bool:
        match key:
            case "enter":
                self._send()
            case "up" if self.navigator.is_first_wrapped_line(self.cursor_location):
                self._walk(-1)
            case "down" if self.navigator.is_last_wrapped_line(self.cursor_location):
                self._walk(1)
            case _:
                return False
        return True

    def _send(self) -> None:
        """Blank text stays where it is and goes nowhere."""
        if self.text.strip():
            self._completion.close()
            self.post_message(self.Sent(self.clear_to_history()))

    def _walk(self, by: int) -> None:
        place = self._place + by
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self._set([*self._history, self._draft][place])

    def _set(self, text: str) -> None:
        self.text = text
        self.move_cursor(self.document.end)
