"""The line under the input: what is wrong, what a figure or command means, or how things stand."""

from __future__ import annotations

from textual.widgets import Static


class Hint(Static):
    """One text at a time, the most urgent; it never parses markup."""

    def __init__(self) -> None:
        super().__init__("", id="hint", markup=False)
        self.explained = ""  # the definition of the figure that is looked at
        self._problem = "", ""  # a sentence, and the input that it stands under until an edit

    def warn(self, sentence: str, under: str = "") -> None:
        """Stands until the input is no longer `under`."""
        self._problem = sentence, under

    def typed(self, text: str) -> None:
        if text != self._problem[1]:
            self._problem = "", ""

    def show(self, usage: str, status: str) -> None:
        """`usage` of the command that is being typed, else `status`."""
        problem = self._problem[0]
        self.set_class(bool(problem or self.explained), "-tall")
        self.set_class(bool(problem), "-problem")
        text = problem or self.explained or usage or status
        if self.content != text:
            self.update(text)
