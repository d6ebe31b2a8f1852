"""Cuts a growing Markdown text into blocks that no later text can change."""

from __future__ import annotations

import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

WINDOW = 4_000  # characters of one block; with more it is shown plain, so a frame's cost is bounded
CODE = 2_000  # of one piece of a code fence, which costs more since it is highlighted
ADDRESSES = 50  # of a block; with more they are not looked for
FEED = 1_000  # taken at once from a long text


class _Parser(MarkdownIt):
    def normalizeLinkText(self, url: str) -> str:  # noqa: N802
        """A bare address as the model wrote it."""
        return url


def _parser(addresses: bool) -> MarkdownIt:
    """What is disabled here would hide words of the model, or show ones that it did not write."""
    parser = (
        _Parser("commonmark", {"html": False, "linkify": addresses, "maxNesting": 12})
        .enable(["strikethrough", "table"])
        .disable(["image", "entity", "autolink", "html_block", "html_inline", "reference"])
    )
    parser.inline.ruler.enable("linkify")  # the other rule of this name needs no scheme
    return parser


_PARSER, _WITHOUT_ADDRESSES = _parser(True), _parser(False)
_FENCE = re.compile(r"(?:[ \t]*\n)* {0,3}(`{3,}|~{3,})[^`\n]*\n?")


class Block(NamedTuple):
    source: str
    plain: bool = False  # shown as it is: too large or too strange to be parsed in time
    tight: bool = False  # goes on where the block before it ended
    start: int = 0  # where in the whole text the source stands

    def cut(self, end: int, again: str = "") -> tuple[Block, Block]:
        """In two; `again` is said again before what is left."""
        rest = Block(again + self.source[end:], start=self.start + end - len(again))
        return self._replace(source=self.source[:end]), rest


def parse(source: str) -> list[Token]:
    many = source.count("://") > ADDRESSES
    return (_WITHOUT_ADDRESSES if many else _PARSER).parse(source)


class Blocks:
    """Blocks that are final, and the open end that still grows."""

    def __init__(self) -> None:
        self.closed: list[Block] = []
        self.open = Block("")

    def append(self, text: str) -> None:
        for start in range(0, len(text), FEED):
            self.open = self.open._replace(source=self.open.source + text[start : start + FEED])
            self._close_finished()

    def finish(self) -> None:
        """No more text will come."""
        if self.open.source:
            self.closed.append(self.open)
        self.open = Block("")

    def _close_finished(self) -> None:
        while self.open.source and (cut := self._cut()):
            block, self.open = cut
            self.closed.append(block)

    def _cut(self) -> tuple[Block, Block] | None:
        source = self.open.source
        if self.open.plain:
            return _cut_plain(self.open)
        fence = _FENCE.match(source)
        if len(source) > CODE and fence and not _closed(source, fence):
            return _cut_fence(self.open, fence)
        start, item = _last_start(source)
        if start:
            head, rest = self.open.cut(start)
            return head, rest._replace(tight=item)
        if len(source) > WINDOW:
            return _cut_plain(self.open)
        return None


def _cut_plain(block: Block) -> tuple[Block, Block] | None:
    """Up to the blank line after which Markdown is tried again, or what is too much already."""
    blank = block.source.find("\n\n")
    block = block._replace(plain=True)
    if blank >= 0:
        return block.cut(blank + 2)
    if len(block.source) <= WINDOW:
        return None
    head, rest = block.cut(block.source.rfind("\n") + 1 or len(block.source))
    return head, rest._replace(plain=True, tight=True)


def _cut_fence(block: Block, fence: re.Match[str]) -> tuple[Block, Block] | None:
    """The code so far; the rest goes on under the same opening line."""
    source = block.source
    end = source.rfind("\n\n", fence.end()) + 2
    if end < CODE // 2:
        end = source.rfind("\n", fence.end()) + 1
    if end <= fence.end():
        return _cut_plain(block) if len(source) > WINDOW else None
    head, rest = block.cut(end, fence[0])
    return head, rest._replace(tight=True)


def _closed(source: str, fence: re.Match[str]) -> bool:
    return re.search(rf"^ {{0,3}}{fence[1]}[`~]* *$", source[fence.end() :], re.M) is not None


def _last_start(source: str) -> tuple[int, bool]:
    """Where the last block begins, or the last item when that block is a list (True); 0 while
    there is one block. A line that is not whole may still turn out to be something else."""
    whole = source.count("\n")
    starts = [(0, False)]
    for token in parse(source):
        block = token.level == 0 and token.nesting >= 0
        item = token.level == 1 and token.type == "list_item_open"
        if token.map and (block or item) and starts[-1][0] < token.map[0] < whole:
            starts.append((token.map[0], item))
    line, item = starts[-1]
    return sum(len(each) + 1 for each in source.split("\n")[:line]), item
