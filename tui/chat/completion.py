"""The list over the input that completes a command while it is typed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...sessions.clean import cells
from ..commands.completing import Suggestion

WIDEST = 30  # columns of a label, before its hint


class Completion(OptionList, can_focus=False):
    """Open while it has suggestions. Keys reach it through the input, which keeps the focus."""

    def __init__(self) -> None:
        super().__init__()
        self._suggestions: list[Suggestion] = []
        self.display = False

    @property
    def marked(self) -> Suggestion | None:
        """What Enter takes."""
        return None if self.highlighted is None else self._suggestions[self.highlighted]

    @property
    def first(self) -> Suggestion:
        """What Tab takes; there is one while the list is open."""
        return self.marked or self._suggestions[0]

    def show(self, suggestions: Sequence[Suggestion]) -> None:
        """A list that was closed opens again when it differs."""
        if list(suggestions) == self._suggestions:
            return
        self._suggestions = list(suggestions)
        self.clear_options()
        width = min(max((cells(each.label) for each in suggestions), default=0), WIDEST)
        self.add_options([Option(_line(each, width)) for each in suggestions])
        self.highlighted = 0 if suggestions and suggestions[0].sure else None
        self.scroll_to(y=0, animate=False)
        self.display = bool(suggestions)

    def close(self) -> None:
        self.display = False


def _line(suggestion: Suggestion, width: int) -> Text:
    label = suggestion.label + " " * (width - cells(suggestion.label))
    return Text.assemble(label, ("  " + suggestion.hint, "dim"), end="", no_wrap=True)
