"""A comparison as tables."""

from __future__ import annotations

from .. import figures
from .answers import MEASURES
from .comparison import Comparison, Row
from .table import Table
from .words import by_unit, interval


def verdict_tables(comparison: Comparison) -> tuple[Table, Table]:
    return _verdict(comparison), _differences(comparison)


def _verdict(told: Comparison) -> Table:
    label = MEASURES[told.measure].label
    improved = ", improved" if told.improved else ""
    notes = [
        told.reason,
        f"Judged by {label}: a regression is worse by {figures.percent(told.threshold)} or more.",
        f"Here: {told.here}. There, the reference: {told.there}.",
    ]
    head = ("case", "verdict", "here", "there", "n", "ratio (90 % interval)")
    rows = [_row(each, told.measure) for each in told.rows]
    return Table(f"Verdict: {told.status}{improved}", head, rows, notes, words=2, first=True)


def _row(row: Row, measure: str) -> tuple[str, ...]:
    unit = MEASURES[measure].unit
    return (
        row.case,
        row.verdict.status,
        by_unit(row.here, unit),
        by_unit(row.there, unit),
        f"{row.ratio.n_candidate}, {row.ratio.n_reference}",
        interval(row.ratio),
    )


def _differences(told: Comparison) -> Table:
    rows = [
        (each.name, each.here, each.there, "yes" if each.matters else "no")
        for each in told.differences
    ]
    head = ("what", "here", "there", "matters")
    return Table("What differs between the two sides", head, rows, words=4, first=True)
