"""Cuts a growing Markdown text into blocks that no later text can change."""

from __future__ import annotations

import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

WINDOW = 4_000  # characters of one block; with more it is shown plain, so a frame's cost is bounded
CODE = 2_000  # of one piece of a code fence, which costs more since it is highlighted
FEED = 1_000  # taken at once from a long text

# What is disabled here would hide words of the model, or show ones that it did not write.
_PARSER = (
    MarkdownIt("commonmark", {"html": False, "maxNesting": 12})
    .enable(["strikethrough", "table"])
    .disable(["image", "entity", "autolink", "html_block", "html_inline", "reference"])
)
_FENCE = re.compile(r"(?:[ \t]*\n)* {0,3}(`{3,}|~{3,})[^`\n]*\n?")


class Block(NamedTuple):
    source: str
    plain: bool = False  # shown as it is: too large or too strange to be parsed in time
    tight: bool = False  # goes on where the block before it ended


def parse(source: str) -> list[Token]:
    return _PARSER.parse(source)


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
            block, rest = cut
            self.closed.append(block)
            self.open = rest

    def _cut(self) -> tuple[Block, Block] | None:
        source, plain, tight = self.open
        if plain:
            return _cut_plain(source, tight)
        fence = _FENCE.match(source)
        if len(source) > CODE and fence and not _closed(source, fence):
            return _cut_fence(source, fence, tight)
        line, item = _last_start(source)
        if line:
            head, rest = _split(source, line)
            return Block(head, False, tight), Block(rest, False, item)
        if len(source) > WINDOW:
            return _cut_plain(source, tight)
        return None


def _cut_plain(source: str, tight: bool) -> tuple[Block, Block] | None:
    """Up to the blank line after which Markdown is tried again, or what is too much already."""
    head, blank, rest = source.partition("\n\n")
    if blank:
        return Block(head + blank, True, tight), Block(rest)
    if len(source) <= WINDOW:
        return None
    end = source.rfind("\n") + 1 or len(source)
    return Block(source[:end], True, tight), Block(source[end:], True, True)


def _cut_fence(source: str, fence: re.Match[str], tight: bool) -> tuple[Block, Block] | None:
    """The code so far; the rest goes on under the same opening line."""
    end = source.rfind("\n\n", fence.end()) + 2
    if end < CODE // 2:
        end = source.rfind("\n", fence.end()) + 1
    if end <= fence.end():
        return _cut_plain(source, tight) if len(source) > WINDOW else None
    return Block(source[:end], False, tight), Block(fence[0] + source[end:], False, True)


def _closed(source: str, fence: re.Match[str]) -> bool:
    return re.search(rf"^ {{0,3}}{fence[1]}[`~]* *$", source[fence.end() :], re.M) is not None


def _last_start(source: str) -> tuple[int, bool]:
    """The first line of the last block, or of the last item when that block is a list (True);
    0 while there is one block. A line that is not whole may still turn out to be something else."""
    whole = source.count("\n")
    starts = [(0, False)]
    for token in parse(source):
        block = token.level == 0 and token.nesting >= 0
        item = token.level == 1 and token.type == "list_item_open"
        if token.map and (block or item) and starts[-1][0] < token.map[0] < whole:
            starts.append((token.map[0], item))
    return starts[-1]


def _split(source: str, line: int) -> tuple[str, str]:
    lines = source.split("\n")
    return "\n".join(lines[:line]) + "\n", "\n".join(lines[line:])
