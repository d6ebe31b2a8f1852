"""Inline Markdown in styles of our own; links as text that shows where they lead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markdown_it.token import Token

STYLES = frozenset({"link", "link_url", "drafted", "drafted_code"})


def text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def styled(style: str, *inside: Token) -> Iterator[Token]:
    yield _opens(style)
    yield from inside
    yield _closes(style)


def show_links(tokens: Iterable[Token]) -> None:
    """A bare address is its own destination; what others lead to follows them in brackets."""
    for token in tokens:
        if token.children:
            token.children = list(_with_links(token.children))


def _with_links(children: Iterable[Token]) -> Iterator[Token]:
    address = ""
    for child in children:
        if child.type == "link_open":
            address = "" if child.markup == "linkify" else str(child.attrs["href"])
            yield _opens("link")
        elif child.type == "link_close":
            yield _closes("link")
            if address:
                yield text(" (")
                yield from styled("link_url", text(address))
                yield text(")")
        else:
            yield child


def _opens(style: str) -> Token:
    return Token("style", style, 1)


def _closes(style: str) -> Token:
    return Token("style", style, -1)
