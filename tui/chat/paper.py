"""Text and Markdown to the lines of cells that a screen shows, in the colours of the theme."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme
from textual.strip import Strip

from ...sessions.clean import clean, one_line
from . import inline, origin
from .blocks import Block, parse

MARGIN = 3  # columns, the mark's included


class Ghost(Segment):
    """Text that is no part of the answer."""


class _Heading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _Code(CodeBlock):
    drafted: Sequence[tuple[int, int, int]] = ()  # line, from, to

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:
        code = cls(token.info.partition(" ")[0] or "text", markdown.code_theme)
        code.drafted = token.meta.get(origin.RANGES, ())
        return code

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ground = console.get_style("markdown.code_block").bgcolor
        syntax = Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 1),
            background_color=ground.name if ground else "default",
        )
        for line, start, end in self.drafted:
            syntax.stylize_range("markdown.drafted_code", (line, start), (line, end))
        yield syntax


class _Markdown(Markdown):
    """Tokens that are parsed already. Textual's own Markdown makes a widget of every block."""

    inlines = Markdown.inlines | inline.STYLES
    elements: ClassVar = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, tokens: list[Token], code_theme: str) -> None:
        self.parsed = tokens
        self.code_theme = self.inline_code_theme = code_theme
        self.inline_code_lexer, self.justify, self.style = None, None, "none"


class Paper:
    """How text is laid out: one for a theme."""

    def __init__(self, styles: Mapping[str, Style], code_theme: str) -> None:
        self._styles = styles
        self._tells = "drafted" in styles  # what was drafted
        self._code_theme = code_theme
        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
            theme=Theme({f"markdown.{name}": style for name, style in styles.items()}),
        )

    def block(self, block: Block, width: int, drafted: bytes = b"") -> list[Strip]:
        """One block of an answer, without the blank lines around it, and the origin of its text."""
        told = drafted if self._tells and 1 in drafted else b""
        if block.plain:
            return self.plain(block.source, width, drafted=told)
        tokens = parse(block.source)
        if told:
            origin.mark(tokens, block.source, told)
        inline.show_links(tokens)
        return self._strips(_Markdown(tokens, self._code_theme), width, " " * MARGIN)

    def plain(
        self, text: str, width: int, style: str = "none", mark: str = "", drafted: bytes = b""
    ) -> list[Strip]:
        """Text as it is: no markup of any kind; `mark` stands before its first line."""
        body = Text(clean(text), self.style(style), overflow="fold")
        for start, end in origin.runs(text, drafted):
            body.stylize(self.style("drafted"), start, end)
        return self._strips(body, width, f" {mark}".ljust(MARGIN), self.style(style))

    def struck(self, strips: list[Strip], source: str, rejected: str, width: int) -> list[Strip]:
        """`strips` of a source with the draft that was rejected after it: on its last line where
        there is room, else on one below, and never on more."""
        joint = source[-1:] + rejected[:1]
        shown = Text(one_line(rejected, width))
        if not (self._tells and strips and shown):
            return strips
        style, last = self.style("rejected"), strips[-1]
        used = max(cell_len(last.text.rstrip()), MARGIN)
        gap = " " * (" " in joint)
        end = used + len(gap) + shown.cell_len
        if "\n" in joint or end > width:
            shown.truncate(max(width - MARGIN, 1), overflow="ellipsis")
            return [*strips, Strip([Segment(" " * MARGIN), Ghost(shown.plain, style)])]
        within, rest = last.crop(0, used), last.crop(min(end, last.cell_length))
        ground = (list(within)[-1].style or Style.null()).background_style
        ghosts = Ghost(gap, ground), Ghost(shown.plain, ground + style)
        return [*strips[:-1], Strip([*within, *ghosts, *rest])]

    def style(self, name: str) -> Style:
        return self._styles.get(name, Style.null())

    def _strips(
        self, body: RenderableType, width: int, mark: str, style: Style | None = None
    ) -> list[Strip]:
        options = self._console.options.update(width=max(width - MARGIN, 1))
        lines = self._console.render_lines(body, options, pad=False)
        strips = [Strip([Segment(" " * MARGIN, style), *_cleaned(line)]) for line in _trim(lines)]
        if strips and mark.strip():
            strips[0] = Strip([Segment(mark, style), *list(strips[0])[1:]])
        return strips


def _cleaned(line: Iterable[Segment]) -> list[Segment]:
    return [Segment(clean(text), style) for text, style, _ in line]


def _trim(lines: list[list[Segment]]) -> list[list[Segment]]:
    """Without the blank lines at both ends; a line with a background is not blank."""
    full = [n for n, line in enumerate(lines) if any(s.text.strip() or _ground(s) for s in line)]
    return lines[full[0] : full[-1] + 1] if full else []


def _ground(segment: Segment) -> bool:
    return bool(segment.text and segment.style and segment.style.bgcolor)
