"""One saved session at a glance: what ran, every turn's figures, and the totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from .export_rows import turn_row
from .reading import Problem
from .records import Record
from .saved import About, saved_turns
from .summary import SessionMetrics, session_metrics
from .turns import TurnMetrics


class Overview(NamedTuple):
    about: About
    rows: list[dict[str, Any]]  # of export_rows.turn_row, without what was said
    totals: SessionMetrics  # without prefill and gaps


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
