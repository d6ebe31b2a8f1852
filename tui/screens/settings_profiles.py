"""The profiles in a box: put one in force, save what is set, delete."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ...sessions.chat import Chat
from ...sessions.config import config_path, profile_name_problem, read_config
from ...sessions.profiles import profiles
from ..commands.profile import in_force
from ..commands.settings import listed
from .setting_editors import Box, Entry

SAVE = "save"  # no profile can be called that


class Profiles(Box):
    """Dismissed with the line that does it."""

    BINDINGS: ClassVar = [Binding("d,delete", "delete", "Delete", show=False)]

    def __init__(self, chat: Chat) -> None:
        super().__init__()
        self._chat = chat
        self._profiles = profiles(read_config(config_path()))

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                "Profiles · Enter sets · d deletes · Esc leaves", classes="about", markup=False
            )
            yield OptionList(
                *(Option(self._text(name), name) for name in self._profiles),
                Option(Text("+ save what is set now as …"), SAVE),
            )

    @on(OptionList.OptionSelected)
    def choose(self, chosen: OptionList.OptionSelected) -> None:
        if chosen.option_id == SAVE:
            self.app.push_screen(
                Entry("Save what is set now as the profile …", "", _problem), self._save
            )
        else:
            self.dismiss(f"/profile {chosen.option_id}")

    def action_delete(self) -> None:
        option = self.query_one(OptionList).highlighted_option
        if option and option.id != SAVE:
            self.dismiss(f"/profile delete {option.id}")

    def _save(self, name: str | None) -> None:
        if name:
            self.dismiss(f"/profile save {name}")

    def _text(self, name: str) -> Text:
        wanted = self._profiles[name]
        mark = "*" if in_force(self._chat, wanted) else " "
        return Text.assemble(f"{mark} ", (name, "bold"), f"  {listed(wanted)}")


def _problem(name: str) -> str:
    problem = profile_name_problem(name)
    return f"It {problem}." if name and problem else ""
