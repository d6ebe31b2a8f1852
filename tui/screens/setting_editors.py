"""Small boxes over a screen in which one value is chosen or typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...sessions.clean import clean

READY = "Enter sets it · Esc leaves it"


class Box(ModalScreen[str | None]):
    """Dismissed with the value, or with None."""

    CSS_PATH = "setting_editors.tcss"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (10, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Leave it", show=False),
        # Ahead of the input's own, which copies: the value is selected so that typing replaces it.
        Binding("ctrl+c,super+c", "dismiss(None)", "Leave it", show=False, priority=True),
    ]


class Choice(Box):
    """One of several words."""

    def __init__(self, name: str, words: Sequence[str], now: str) -> None:
        super().__init__()
        self._name, self._words, self._now = name, words, now

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                f"{self._name} · Enter chooses · Esc leaves it", classes="about", markup=False
            )
            yield OptionList(*(Option(self._text(each), each) for each in self._words))

    def on_mount(self) -> None:
        if self._now in self._words:
            self.query_one(OptionList).highlighted = self._words.index(self._now)

    @on(OptionList.OptionSelected)
    def choose(self, chosen: OptionList.OptionSelected) -> None:
        self.dismiss(chosen.option_id)

    def _text(self, word: str) -> Text:
        return Text(f"{'*' if word == self._now else ' '} {word}")


class Entry(Box):
    """A typed value, None where it is left as it is; `problem` says why a text cannot be it."""

    def __init__(self, about: str, now: str, problem: Callable[[str], str]) -> None:
        super().__init__()
        self._about, self._now, self._problem = about, clean(now), problem

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self._about, classes="about", markup=False)
            yield Input(self._now)
            yield Static(READY, id="problem", markup=False)

    @on(Input.Changed)
    def check(self, typed: Input.Changed) -> None:
        problem = self._problem(typed.value.strip())
        self.query_one("#problem", Static).update(problem or READY)

    @on(Input.Submitted)
    def enter(self, typed: Input.Submitted) -> None:
        text = typed.value.strip()
        if typed.value == self._now:
            self.dismiss(None)
        elif not self._problem(text):
            self.dismiss(text)
