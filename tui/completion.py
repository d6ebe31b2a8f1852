"""The list over the input that completes a command while it is typed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from .grammar import Suggestion


class Completion(OptionList, can_focus=False):
    """Open while it has suggestions. Keys reach it through the input, which keeps the focus."""

    def __init__(self) -> None:
        super().__init__()
        self._suggestions: list[Suggestion] = []
        self.display = False

    @property
    def chosen(self) -> Suggestion | None:
        return None if self.highlighted is None else self._suggestions[self.highlighted]

    def show(self, suggestions: Sequence[Suggestion]) -> None:
        if list(suggestions) == self._suggestions:
            return
        self._suggestions = list(suggestions)
        self.clear_options()
        width = max((len(each.label) for each in suggestions), default=0)
        self.add_options([Option(_line(each, width)) for each in suggestions])
        self.highlighted = 0 if suggestions else None
        self.display = bool(suggestions)

    def close(self) -> None:
        self.show([])


def _line(suggestion: Suggestion, width: int) -> Text:
    return Text.assemble(suggestion.label.ljust(width), ("  " + suggestion.hint, "dim"), end="")
