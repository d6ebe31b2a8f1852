"""What every screen over the chat has: a title, the keys at its foot, and the way back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.types import CSSPathType
from textual.widget import Widget
from textual.widgets import Footer, Static

from ..opening import Desk


class Frame(Screen[str | None]):
    """Esc goes back to the chat; a line given to `dismiss` is run there."""

    CSS_PATH: ClassVar[CSSPathType | None] = "frame.tcss"
    TITLE = ""
    BINDINGS: ClassVar = [
        Binding("escape", "back", "Back"),
        Binding("ctrl+c,super+c", "copy_or_back", "Copy, or back", show=False),
    ]

    def __init__(self, desk: Desk, argument: str = "") -> None:
        super().__init__()
        self.desk = desk
        self.argument = argument

    def compose(self) -> ComposeResult:
        yield Static(self.TITLE, id="title", markup=False)
        yield from self.body()
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> list[Widget]:
        """What stands between title and keys, from top to bottom."""
        raise NotImplementedError

    def action_back(self) -> None:
        self.dismiss(None)

    def action_copy_or_back(self) -> None:
        selected = self.get_selected_text()
        if selected:
            self.app.copy_to_clipboard(selected)
        else:
            self.action_back()
