"""A session as something to read: Markdown, or plain text. What was said cannot leave its block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TextIO

from . import figures
from .clean import clean, one_line
from .reading import Problem
from .records import Record
from .saved import About, SavedTurn, saved_turns


class _Style(NamedTuple):
    heading: Callable[[str], str]
    block: Callable[[str], str]  # of text that is not ours
    quoted: Callable[[str], str]  # the same, within a line


def write_markdown(name: str, items: Iterable[Record | Problem], out: TextIO) -> None:
    _write(name, items, out, _MARKDOWN)


def write_text(name: str, items: Iterable[Record | Problem], out: TextIO) -> None:
    _write(name, items, out, _TEXT)


def _write(name: str, items: Iterable[Record | Problem], out: TextIO, style: _Style) -> None:
    about = About()
    out.write(style.heading(f"Session {style.quoted(name)}"))
    for saved in saved_turns(about.noted(items)):
        out.writelines(_turn(saved, style))
    out.write(style.heading("About"))
    out.writelines(f"{line}\n\n" for line in _about(about, style))


def _turn(saved: SavedTurn, style: _Style) -> Iterator[str]:
    metrics = saved.metrics
    yield style.heading(f"Turn {saved.turn.turn_id}")
    yield f"You:\n\n{style.block(saved.turn.text)}\n\n"
    yield f"Answer:\n\n{style.block(saved.answer)}\n\n"
    if metrics.stop and metrics.stop.what:
        yield f"Error:\n\n{style.block(metrics.stop.what)}\n\n"
    start = metrics.start
    how = [figures.method(start.spec, start.sampling.num_beams)] if start else []
    yield " · ".join([*how, figures.turn_line(metrics)]) + "\n\n"


def _about(about: About, style: _Style) -> Iterator[str]:
    if about.header:
        yield f"Begun: {style.quoted(about.header.created)}"
        yield f"tokenhud: {style.quoted(about.header.tokenhud_version)}"
    if about.model:
        held = style.quoted(about.model.quantization)
        yield f"Model: {style.quoted(about.model.name)}, weights {held}"
    if about.undone:
        yield f"Taken back: turns {', '.join(map(str, about.undone))}"
    for problem in about.problems:
        yield f"Unreadable: {style.quoted(str(problem))}"
    if about.faults > len(about.problems):
        yield f"and {about.faults - len(about.problems):,} more lines like these"


def _fenced(text: str) -> str:
    """Between marks longer than any run of them inside."""
    text = clean(text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _span(text: str) -> str:
    text = one_line(text)
    marks = "`" * (_longest_run(text) + 1)
    return f"{marks} {text} {marks}" if "`" in text else f"`{text or ' '}`"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in clean(text).split("\n"))


def _underlined(text: str) -> str:
    return f"{text}\n{'-' * len(text)}\n\n"


_MARKDOWN = _Style(lambda text: f"## {text}\n\n", _fenced, _span)
_TEXT = _Style(_underlined, _indented, one_line)
