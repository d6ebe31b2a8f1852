"""Text and Markdown to the lines of cells that a screen shows, in the colours of the theme."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import ClassVar

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme
from textual.strip import Strip

from ..sessions.clean import clean
from .blocks import Block, parse

MARGIN = 3  # columns, the mark's included


class _Heading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ground = console.get_style("markdown.code_block").bgcolor
        yield Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 1),
            background_color=ground.name if ground else "default",
        )


class _Markdown(Markdown):
    """Tokens that are parsed already. Textual's own Markdown makes a widget of every block."""

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
        self.hyperlinks = False  # a link shows where it leads and cannot be clicked


class Paper:
    """How text is laid out: one for a theme."""

    def __init__(self, styles: Mapping[str, Style], code_theme: str) -> None:
        self._styles = styles
        self._code_theme = code_theme
        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
            theme=Theme({f"markdown.{name}": style for name, style in styles.items()}),
        )

    def block(self, block: Block, width: int) -> list[Strip]:
        """One block of an answer, without the blank lines around it."""
        if block.plain:
            return self.plain(block.source, width)
        markdown = _Markdown(parse(block.source), self._code_theme)
        return self._strips(markdown, width, " " * MARGIN)

    def plain(self, text: str, width: int, style: str = "none", mark: str = "") -> list[Strip]:
        """Text as it is: no markup of any kind; `mark` stands before its first line."""
        body = Text(clean(text).strip("\n"), self.style(style), overflow="fold")
        return self._strips(body, width, f" {mark}".ljust(MARGIN), self.style(style))

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
