"""The live performance HUD: a side panel, a bar of two lines, or nothing."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from .drafts import Row
from .panel import View, bar, panel

Shape = Literal["side", "bar", "hidden"]
SIDE_FROM = 100  # columns of the window
SIDE_NEEDS = 70
BAR_NEEDS = Size(40, 10)


class Hud(Widget):
    """Draws only the rows that changed, and never asks for a new layout."""

    COMPONENT_CLASSES: ClassVar = {"hud--title", "hud--main", "hud--dim", "hud--warn"}

    def __init__(self) -> None:
        super().__init__()
        self.shape: Shape = "bar"
        self.folded = False  # the window is too small for even the bar
        self._chosen: Shape | None = None
        self._rows: list[Row] = []
        self._ground: Style | None = None

    def choose_next(self, window: Size) -> None:
        """The person's choice holds until the next one; sizes that do not fit are left out."""
        order: list[Shape] = ["side", "bar", "hidden"] if _side_fits(window) else ["bar", "hidden"]
        at = order.index(self.shape) if self.shape in order else -1
        self._chosen = order[(at + 1) % len(order)]
        self.fit(window)

    def prefer(self, shape: str, window: Size) -> None:
        """ "side", "bar", "hidden", or "auto" by the width of the window."""
        self._chosen = None if shape == "auto" else cast(Shape, shape)
        self.fit(window)

    def fit(self, window: Size) -> None:
        wanted = self._chosen or ("side" if window.width >= SIDE_FROM else "bar")
        if wanted == "side" and not _side_fits(window):
            wanted = "bar"
        small = window.width < BAR_NEEDS.width or window.height < BAR_NEEDS.height
        self.folded = small and wanted != "hidden"
        self.shape = "hidden" if small else wanted
        for shape in ("side", "bar", "hidden"):
            self.set_class(shape == self.shape, f"-{shape}")

    def show(self, seen: View) -> None:
        width, height = self.content_size
        if self.shape == "side":
            self._draw(panel(seen, width, height))
        elif self.shape == "bar":
            self._draw([Row("", line) for line in bar(seen, width)])

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._ground = None

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        row = self._rows[y] if y < len(self._rows) else Row("", "")
        label, value = row.label, row.value
        if not label:
            return self._strip([(value, row.style)], width)
        air = " " * max(width - cell_len(label) - cell_len(value), 1)
        return self._strip([(label + air, row.style or "dim"), (value, "")], width)

    def _draw(self, rows: list[Row]) -> None:
        old, self._rows = self._rows, rows
        for y in range(max(len(old), len(rows))):
            if old[y : y + 1] != rows[y : y + 1]:
                self.refresh(Region(0, y, self.size.width, 1))

    def _strip(self, parts: list[tuple[str, str]], width: int) -> Strip:
        ground = self._ground = self._ground or self.rich_style
        strip = Strip([Segment(text, self._style(name)) for text, name in parts])
        return strip.adjust_cell_length(width, ground).apply_style(ground)

    def _style(self, name: str) -> Style:
        if not name:
            return Style.null()
        return self.get_component_rich_style(f"hud--{name}", partial=True)


def _side_fits(window: Size) -> bool:
    return window.width >= SIDE_NEEDS
