"""A session as comma-separated values that are safe to open in a spreadsheet: see
docs/sessions.md."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from ..engines.events import Start, Step, Stop
from .clean import clean
from .export_rows import COLUMNS, turn_row
from .reading import Problem, only_records
from .records import Record, Turn, outside_trials
from .saved import saved_turns

STEP_COLUMNS = (
    "turn_id",
    "step",
    "since_start_ms",
    "completion_tokens",
    "num_draft_tokens",
    "num_accepted_draft_tokens",
    "draft_ms",
    "pass_ms",
    "text",
)
_FORMULA = "=+-@＝＋－＠"  # noqa: RUF001  # full-width forms count too


def write_turns(_name: str, items: Iterable[Record | Problem], out: TextIO) -> None:
    """One row a turn."""
    rows = map(turn_row, saved_turns(only_records(items)))
    _write(COLUMNS, (row.values() for row in rows), out)


def write_steps(_name: str, items: Iterable[Record | Problem], out: TextIO) -> None:
    """One row a step."""
    _write(STEP_COLUMNS, _steps(only_records(items)), out)


def harmless(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, with an apostrophe before it; no control
    characters."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip()[:1] in tuple(_FORMULA) else text


def _steps(records: Iterable[Record]) -> Iterator[tuple[Any, ...]]:
    turn: Turn | None = None  # being answered
    begun, number = None, 0
    for record in outside_trials(records):
        if isinstance(record, Turn):
            turn, begun, number = record, None, 0
        elif isinstance(record, Start):
            begun = record.t_ns
        elif isinstance(record, Stop):
            turn = None
        elif isinstance(record, Step) and turn:
            number += 1
            yield turn.turn_id, number, *_step(record, begun)


def _step(step: Step, begun: int | None) -> tuple[Any, ...]:
    return (
        _ms(None if begun is None else step.t_ns - begun),
        len(step.tokens),
        step.drafted,
        step.accepted,
        _ms(step.draft_ns),
        _ms(step.pass_ns),
        "".join(step.pieces),
    )


def _write(columns: Iterable[str], rows: Iterable[Iterable[Any]], out: TextIO) -> None:
    # quotes around every text: no separator of any country splits one
    table = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow(columns)
    table.writerows([harmless(value) for value in row] for row in rows)


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e6
