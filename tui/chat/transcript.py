"""The conversation as lines. One widget draws it all: a widget for each Markdown block costs
twice as much a frame, and more with every answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from ...sessions.clean import clean
from .blocks import Block, Blocks
from .paper import MARGIN, Ghost, Paper

KEPT = 100  # entries that stay on the screen; older ones are folded
FOLD = 40  # at once, so that the work is rare
STRIDE = 4  # lines
STYLES = (
    *("user", "dim", "notice", "error", "selected"),
    *("code", "code_block", "heading", "bullet", "quote", "link"),
    *("drafted", "drafted_code", "rejected"),
)
_BLANK = Strip.blank(0)


class Note:
    """Text that is no Markdown: what the person said, notices, figures."""

    def __init__(self, text: str, style: str, mark: str = "", tight: bool = False) -> None:
        self.text = text
        self.tight = tight
        self._style, self._mark = style, mark
        self._strips: list[Strip] = []
        self._for: tuple[Paper, int, str] | None = None

    def strips(self, paper: Paper, width: int) -> list[Strip]:
        if self._for != (paper, width, self.text):
            self._for = paper, width, self.text
            self._strips = paper.plain(self.text, width, self._style, self._mark)
        return self._strips


class Answer:
    """Markdown that grows at its end; what cannot change any more is laid out once."""

    tight = False

    def __init__(self) -> None:
        self.rejected = ""  # the draft that the last step did not keep, shown until the next
        self._new: list[str] = []  # in no block yet: parsed once a frame, not once a step
        self._origin = bytearray()  # of all that came: 1 for a character that was drafted
        self._blocks = Blocks()
        self._settled: list[Strip] = []
        self._count = 0  # closed blocks in `_settled`
        self._growing: list[Strip] = []
        self._for: tuple[Paper, int] | None = None

    def append(self, text: str, drafted: bool = False) -> None:
        shown = clean(text)
        self._new.append(shown)
        self._origin.extend(bytes([drafted]) * len(shown))

    def finish(self) -> None:
        self._take_new()
        self._blocks.finish()
        self.rejected = ""

    def strips(self, paper: Paper, width: int) -> list[Strip]:
        self._take_new()
        if self._for != (paper, width):
            self._for, self._settled, self._count = (paper, width), [], 0
        for block in self._blocks.closed[self._count :]:
            _join(self._settled, self._lines(block, paper, width), block.tight)
        self._count = len(self._blocks.closed)
        growing = self._blocks.open
        if not growing.source:
            return self._settled
        lines = self._lines(growing, paper, width)
        lines = paper.struck(lines, growing.source, self.rejected, width)
        self._growing = _reuse(self._growing, lines)
        return _join(list(self._settled), self._growing, growing.tight)

    def _lines(self, block: Block, paper: Paper, width: int) -> list[Strip]:
        drafted = self._origin[block.start : block.start + len(block.source)]
        return paper.block(block, width, bytes(drafted))

    def _take_new(self) -> None:
        self._blocks.append("".join(self._new))
        self._new.clear()


Entry = Note | Answer


class Transcript(ScrollView, can_focus=False):
    """Follows its end until the reader scrolls up, and again when they are back there."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar = {f"transcript--{name}" for name in STYLES}
    DEFAULT_CSS = """
    Transcript {
        & > .transcript--drafted { color: $text-success; }
        & > .transcript--drafted_code { background: $success-muted; }
        & > .transcript--rejected { text-style: dim strike; }
        &:ansi > .transcript--drafted_code { background: ansi_default; text-style: underline; }
    }
    """

    def __init__(self, folded: Callable[[int], str]) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.lines: list[Strip] = []
        self.following = True
        self._folded = folded  # the sentence for a number of folded answers
        self._hidden = 0  # answers
        self._fold: Note | None = None
        self._origin = "colour"
        self._paper: Paper | None = None
        self._ground: Style | None = None  # costs more to look up than a line to draw
        self._laid_out_for = 0  # width
        self._stale = False

    @property
    def origin(self) -> str:
        """How accepted drafts are told from the target's own tokens; see Preferences."""
        return self._origin

    @origin.setter
    def origin(self, way: str) -> None:
        if way != self._origin:
            self._origin, self._paper, self._stale = way, None, True

    def add(self, entry: Entry, after: Entry | None = None) -> None:
        """At the end, or behind the entry `after`."""
        at = self.entries.index(after) + 1 if after in self.entries else len(self.entries)
        self.entries.insert(at, entry)
        if len(self.entries) > KEPT + FOLD and self.following:
            answers = sum(isinstance(each, Answer) for each in self.entries[:FOLD])
            del self.entries[:FOLD]
            self.fold(answers)
        self._stale = True

    def take_out(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self._stale = True

    def fold(self, answers: int) -> None:
        """Says that so many more answers are not shown."""
        self._hidden += answers
        if self._hidden:
            self._fold = Note(self._folded(self._hidden), "dim")

    def changed(self) -> None:
        """An entry has grown."""
        self._stale = True

    def clear(self) -> None:
        self.entries.clear()
        self._hidden, self._fold, self._stale = 0, None, True
        self.following = True

    def paint(self) -> None:
        """Lays out what is new. Called by the one timer, so any number of changes costs one."""
        if not self._stale or not self.size.width:
            return
        self._stale = False
        old, width = self.lines, self._width()
        self.lines = self._lay_out(width)
        self.virtual_size = Size(width, self._height())
        if self.following:
            self.scroll_end(animate=False, immediate=True)
        elif self._laid_out_for != width:
            self.scroll_to(y=self.scroll_y * len(self.lines) / max(len(old), 1), animate=False)
        self._laid_out_for = width
        self._refresh_changed(old)

    @property
    def columns(self) -> int:
        """Cells of a line of text."""
        return self._width() - MARGIN

    def text(self) -> str:
        """What can be read here, scrolled away or not."""
        return "\n".join(_said(strip).rstrip() for strip in self.lines)

    def follow(self) -> None:
        self.following = True
        self.scroll_end(animate=False, immediate=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.following = new_value >= self.max_scroll_y

    def on_resize(self, _: events.Resize) -> None:
        self._stale = True
        if self.following:
            self.scroll_end(animate=False, immediate=True)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._paper, self._ground, self._stale = None, None, True

    def render_line(self, y: int) -> Strip:
        ground = self._ground = self._ground or self.rich_style
        row = y + self.scroll_offset.y
        if row >= len(self.lines):
            return Strip.blank(self.size.width, ground)
        strip = self.lines[row].adjust_cell_length(self.size.width)
        if self.text_selection and (span := self.text_selection.get_span(row)):
            strip = _select(strip, span, self._style("selected"))
        return strip.apply_style(ground).apply_offsets(0, row)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        last = len(self.lines) - 1
        end = selection.end
        if last < 0:
            return None
        within = end if end is not None and end.y <= last else Offset(self.size.width, last)
        rows = Selection(selection.start, within).extract(self.text()).split("\n")
        return "\n".join(row.removeprefix(" " * MARGIN) for row in rows), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002
        self.refresh()

    def _height(self) -> int:
        """Grows by several lines at once: a new height means a new layout and, at the end of the
        text, drawing the whole view."""
        if len(self.lines) <= self.size.height:
            return len(self.lines)
        return -(-len(self.lines) // STRIDE) * STRIDE

    def _width(self) -> int:
        return self.scrollable_content_region.width

    def _lay_out(self, width: int) -> list[Strip]:
        paper = self._paper = self._paper or self._new_paper()
        lines: list[Strip] = []
        for entry in ([self._fold] if self._fold else []) + self.entries:
            _join(lines, entry.strips(paper, width), entry.tight)
        return lines

    def _refresh_changed(self, old: list[Strip]) -> None:
        """Lines that did not change are the same objects, so most frames draw one or two."""
        top, end = self.scroll_offset.y, self.scroll_offset.y + self.size.height
        pairs = zip_longest(old[top:end], self.lines[top:end])
        changed = [top + n for n, (was, now) in enumerate(pairs) if was is not now]
        if changed:
            self.refresh_lines(changed[0], changed[-1] - changed[0] + 1)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"transcript--{name}", partial=True)

    def _origin_styles(self) -> dict[str, Style]:
        names = ("drafted", "drafted_code")
        if self._origin == "off":
            return {}
        if self._origin == "mark" or self.app.no_color:
            styles = dict.fromkeys(names, Style(underline=True))
        else:
            styles = {name: self._style(name) for name in names}
        return styles | {"rejected": self._style("rejected")}

    def _new_paper(self) -> Paper:
        styles = {name: self._style(name) for name in ("user", "dim", "notice", "error", "code")}
        styles |= {"code_block": self._style("code_block"), "block_quote": self._style("quote")}
        styles |= {f"h{n}": self._style("heading") for n in range(1, 7)}
        styles |= {f"item.{name}": self._style("bullet") for name in ("bullet", "number")}
        styles |= {"link": self._style("link"), "link_url": self._style("dim")}
        styles |= {"hr": self._style("dim"), "table.border": self._style("dim")}
        styles |= {"table.header": self._style("heading")} | self._origin_styles()
        if self.app.native_ansi_color:
            return Paper(styles, "ansi_dark" if self.app.current_theme.dark else "ansi_light")
        return Paper(styles, "github-dark" if self.app.current_theme.dark else "default")


def _said(strip: Strip) -> str:
    return "".join(each.text for each in strip if not isinstance(each, Ghost))


def _join(lines: list[Strip], more: list[Strip], tight: bool) -> list[Strip]:
    if lines and more and not tight:
        lines.append(_BLANK)
    lines.extend(more)
    return lines


def _reuse(old: list[Strip], new: list[Strip]) -> list[Strip]:
    """The old line where the new one is the same, since only new ones are drawn."""
    return [was if was == now else now for was, now in zip_longest(old[: len(new)], new)]


def _select(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    start, end = (cell_len(strip.text[:n]) if n >= 0 else strip.cell_length for n in span)
    before, within, after = strip.divide([start, end, strip.cell_length])
    marked = Strip(Segment.apply_style(within, post_style=style), within.cell_length)
    return Strip.join([before, marked, after])
