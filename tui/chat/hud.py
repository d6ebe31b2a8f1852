"""The live performance HUD: a side panel, a bar of two lines, or nothing. Each figure can be looked
at, and says what it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ...sessions.definitions import DEFINITIONS, definition
from ...sessions.figures import BETWEEN
from .levels import WORRIES
from .panel import View, panel, words
from .rows import Row, Word

Shape = Literal["side", "bar", "hidden"]
SIDE_FROM = 100  # columns of the window
SIDE_NEEDS = 70
WIDE_FROM = 140  # where the side panel may take more
BAR_NEEDS = Size(40, 10)

Line = list[Word]


class Hud(Widget, can_focus=True):
    """Draws only the rows that changed, and never asks for a new layout."""

    COMPONENT_CLASSES: ClassVar = {
        "hud--title",
        "hud--main",
        "hud--dim",
        "hud--warn",
        "hud--error",
        "hud--looked-at",
    }
    DEFAULT_CSS = """
    Hud {
        & > .hud--error { color: $error; text-style: bold; }
        & > .hud--looked-at { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar = [
        Binding("up,left", "look(-1)", "Figure before", show=False),
        Binding("down,right", "look(1)", "Next figure", show=False),
        Binding("home", "look_first", "First figure", show=False),
        Binding("end", "look_last", "Last figure", show=False),
    ]

    class Explained(Message):
        """What the figure that is looked at means; "" once none is."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__()
        self.shape: Shape = "bar"
        self.folded = False  # the window is too small for even the bar
        self._chosen: Shape | None = None
        self._lines: list[Line] = []
        self._top = 0  # the first line that is seen
        self._looked_at = ""
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
        self.set_class(window.width >= WIDE_FROM, "-wide")

    def show(self, seen: View) -> None:
        width, height = self.content_size
        if self.shape == "side":
            self._draw([_line(row, width) for row in panel(seen, width, height)])
        elif self.shape == "bar":
            self._draw([_spaced(line) for line in words(seen, width)])

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._ground = None

    def render_line(self, y: int) -> Strip:
        line = self._lines[self._top + y : self._top + y + 1]
        ground = self._ground = self._ground or self.rich_style
        strip = Strip([Segment(each.text, self._style(each)) for each in (line[0] if line else [])])
        return strip.adjust_cell_length(self.content_size.width, ground).apply_style(ground)

    # looking at a figure

    @property
    def looked_at(self) -> str:
        """The name of a figure, while this has the focus."""
        return self._looked_at

    def on_focus(self) -> None:
        self._look(self._looked_at if self._looked_at in self._figures() else self._figure_at(0))

    def on_blur(self) -> None:
        self._looked_at, self._top = "", 0
        self.refresh()
        self.post_message(self.Explained(""))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        for line in self._lines[self._top + at.y : self._top + at.y + 1]:
            ends = [cell_len("".join(w.text for w in line[: n + 1])) for n in range(len(line))]
            hit = [word for word, end in zip(line, ends, strict=True) if end > at.x]
            self._look(hit[0].figure if hit else "")

    def action_look(self, by: int) -> None:
        names = self._figures()
        at = names.index(self._looked_at) + by if self._looked_at in names else 0
        self._look(self._figure_at(min(max(at, 0), len(names) - 1)))

    def action_look_first(self) -> None:
        self._look(self._figure_at(0))

    def action_look_last(self) -> None:
        self._look(self._figure_at(-1))

    def _figures(self) -> list[str]:
        """Of all figures that are drawn, in their order."""
        drawn = (word.figure for line in self._lines for word in line)
        return list(dict.fromkeys(name for name in drawn if name in DEFINITIONS))

    def _figure_at(self, index: int) -> str:
        names = self._figures()
        return names[index] if names else ""

    def _look(self, figure: str) -> None:
        if figure not in DEFINITIONS:
            return
        self._looked_at = figure
        self._bring_up(figure)
        self.refresh()
        self.post_message(self.Explained(definition(figure)))

    def _bring_up(self, figure: str) -> None:
        lines = [n for n, line in enumerate(self._lines) if any(w.figure == figure for w in line)]
        height = self.content_size.height
        if lines and height:
            self._top = min(max(self._top, lines[-1] - height + 1), lines[0])

    # drawing

    def _draw(self, lines: list[Line]) -> None:
        old, self._lines = self._lines, lines
        top = max(min(self._top, len(lines) - self.content_size.height), 0)
        if top != self._top:
            self._top = top
            self.refresh()
        for y in range(max(len(old), len(lines))):
            if old[y : y + 1] != lines[y : y + 1]:
                self.refresh(Region(0, y - self._top, self.size.width, 1))

    def _style(self, word: Word) -> Style:
        style = Style.null()
        if word.style:
            style += self.get_component_rich_style(f"hud--{word.style}", partial=True)
        if word.figure and word.figure == self._looked_at:
            style += self.get_component_rich_style("hud--looked-at", partial=True)
        return style


def _line(row: Row, width: int) -> Line:
    label, value = row.label, row.value
    if not label:
        return [Word(value, row.figure, row.style)]
    air = " " * max(width - cell_len(label) - cell_len(value), 1)
    worry = row.style if row.style in WORRIES else ""
    return [Word(label + air, row.figure, row.style or "dim"), Word(value, row.figure, worry)]


def _spaced(words: Sequence[Word]) -> Line:
    first, *others = words
    return [first, *(each for word in others for each in (Word(BETWEEN), word))]


def _side_fits(window: Size) -> bool:
    return window.width >= SIDE_NEEDS
