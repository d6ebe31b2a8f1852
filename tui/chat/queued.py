"""Messages that wait for the model, told over the input."""

from __future__ import annotations

from collections import deque

from textual.widgets import Static

from ...sessions.clean import one_line

SHOWN, COLUMNS = 3, 60


class Queued(Static):
    def __init__(self) -> None:
        super().__init__("", id="queued", markup=False)
        self._texts: deque[str] = deque()

    def put(self, text: str) -> None:
        self._texts.append(text)
        self._show()

    def take(self) -> str | None:
        """The oldest, which waits no more."""
        text = self._texts.popleft() if self._texts else None
        self._show()
        return text

    def clear(self) -> None:
        self._texts.clear()
        self._show()

    def _show(self) -> None:
        self.display = bool(self._texts)
        lines = [f"… queued: {one_line(text, COLUMNS)}" for text in list(self._texts)[:SHOWN]]
        self.update("\n".join(lines))
