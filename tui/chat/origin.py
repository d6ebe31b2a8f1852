"""Which characters were drafted: from the text of an answer to what Markdown makes of it.

An origin has a byte for each character, 1 where it came with an accepted draft. Markdown only takes
characters away and puts blanks in place of others, so what is shown is found again in its source in
order: each word at its first place after the one before. Where hidden markup holds the same word a
search stops there: too early, never too far, and the next word is searched from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate

from markdown_it.token import Token

from .inline import styled, text

Run = tuple[int, int]  # from, to
RANGES = "drafted"  # of a code token, in its meta: line, from, to

_RUN = re.compile(b"\x01+")
_WORD = re.compile(r"[^\W_]+|\S")  # nothing can be hidden inside one


def runs(shown: str, origin: bytes | bytearray) -> Iterator[Run]:
    """Where drafted text stands, each run from its first word on."""
    for found in _RUN.finditer(origin):
        start, end = found.span()
        blank = end - start - len(shown[start:end].lstrip())
        if start + blank < end:
            yield start + blank, end


def mark(tokens: Iterable[Token], source: str, origin: bytes) -> None:
    """Tells the tokens of a parsed source what of them was drafted."""
    starts = [0, *accumulate(len(line) + 1 for line in source.split("\n"))]
    place = _Place(source, origin)
    for token in tokens:
        if token.map is None:
            continue
        first, last = token.map
        if 1 not in origin[starts[first] : starts[last]]:
            continue
        if token.type == "inline":
            place.enter(starts[first], starts[last], token.content)
            token.children = list(_with_origin(token.children or (), place))
        elif token.type in ("fence", "code_block"):
            lines = range(first + (token.type == "fence"), last)
            spans = [(starts[each], starts[each + 1] - 1) for each in lines]
            token.meta[RANGES] = list(_ranges(token.content, spans, origin))


class _Place:
    """How far a source has been read."""

    def __init__(self, source: str, origin: bytes) -> None:
        self._source, self._origin = source, origin
        self._at = self._end = 0

    def enter(self, start: int, end: int, content: str) -> None:
        """What follows stands between these; all cells of a table row do."""
        self._at, self._end = max(self._at, start), end
        self._at = max(self._at, self._source.find(content.partition("\n")[0], self._at, end))

    def skip(self, hidden: str) -> None:
        found = self._source.find(hidden, self._at, self._end)
        self._at = max(self._at, found + len(hidden) if found >= 0 else 0)

    def read(self, shown: str) -> bytearray:
        """The origin of text that comes next. A blank has one where it was not changed."""
        origin, done = bytearray(len(shown)), 0
        for word in _WORD.finditer(shown):
            found = self._source.find(word[0], self._at, self._end)
            if found >= 0:
                same = word.start() - done == found - self._at
                before = word.start() - done if same else 0
                stop = found + len(word[0])
                origin[word.start() - before : word.end()] = self._origin[found - before : stop]
                self._at, done = stop, word.end()
        return origin


def _with_origin(children: Iterable[Token], place: _Place) -> Iterator[Token]:
    """Text in pieces of one origin each."""
    address = ""
    for child in children:
        match child.type:
            case "text":
                yield from _pieces(child.content, place, "drafted")
            case "code_inline":
                yield from styled("code", *_pieces(child.content, place, "drafted_code"))
            case "link_open":
                address = str(child.attrs["href"]) if child.markup != "linkify" else ""
                yield child
            case "link_close":
                place.skip(address)
                yield child
            case _:
                yield child


def _pieces(shown: str, place: _Place, style: str) -> Iterator[Token]:
    origin, done = place.read(shown), 0
    for start, end in runs(shown, origin):
        yield text(shown[done:start])
        yield from styled(style, text(shown[start:end]))
        done = end
    yield text(shown[done:])


def _ranges(content: str, spans: list[Run], origin: bytes) -> Iterator[tuple[int, int, int]]:
    """Markdown takes code out of what it stands in, so a line of it ends its line of the source."""
    for number, (line, (start, end)) in enumerate(zip(content.split("\n"), spans, strict=False), 1):
        start = max(start, end - len(line))
        for left, right in runs(line, origin[start:end]):
            yield number, len(line[:left].expandtabs(4)), len(line[:right].expandtabs(4))
