"""One saved session at a glance: what ran, every turn's figures, and the totals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from .export_rows import turn_row
from .reading import Problem, entries, only_records, read
from .records import Record
from .saved import About, saved_turns
from .summary import SessionMetrics, session_metrics
from .turns import TurnMetrics

FIRST = 3  # turns whose words a preview has
END = 512 * 1024  # bytes at a log's end that it reads


class Overview(NamedTuple):
    about: About
    rows: list[dict[str, Any]]  # of export_rows.turn_row, without what was said
    totals: SessionMetrics  # without prefill and gaps


class Preview(NamedTuple):
    """What tells one session from another: how it began, and what it came to."""

    begun: tuple[tuple[str, str], ...]  # messages and answers of the first turns
    overview: Overview  # of the last turns of a long log
    left_out: int  # lines of it that were left unread


def preview(path: Path) -> Preview:
    """Reads the begin and the end of the log alone. Raises EngineError where it is none."""
    first = islice(saved_turns(only_records(read(path))), FIRST)
    begun = tuple((each.turn.text, each.answer) for each in first)
    skipped: list[int] = []
    return Preview(begun, overview(_end(path, skipped)), sum(skipped))


def _end(path: Path, skipped: list[int]) -> Iterator[Record | Problem]:
    for entry in entries(path, END):
        skipped.append(entry.skipped)
        yield from filter(None, (entry.problem, entry.record))


def overview(items: Iterable[Record | Problem]) -> Overview:
    """Reads all of a log, and keeps a few figures of each turn."""
    about, rows, slim = About(), [], []
    for saved in saved_turns(about.noted(items)):
        row = turn_row(saved)
        del row["prompt"], row["answer"]
        rows.append(row)
        slim.append(_slim(saved.metrics))
    return Overview(about, rows, session_metrics(slim))


def _slim(metrics: TurnMetrics) -> TurnMetrics:
    """Without what grows with the text."""
    start = metrics.start
    return replace(metrics, start=start and replace(start, prompt=(), cached=0), gaps=())
