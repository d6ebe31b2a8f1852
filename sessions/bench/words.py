"""Figures of benchmarks in words."""

from __future__ import annotations

from collections.abc import Sequence

from .. import figures
from .derived import Part
from .statistics import Ratio, summarise


def number(value: float | None) -> str:
    """Three digits that matter, and all those before the point."""
    if value is None:
        return figures.ABSENT
    for digits, limit in ((2, 9.995), (1, 99.95)):
        if 0.9995 <= abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}" if abs(value) >= 1 else f"{value:.3g}"


def by_unit(value: float | None, unit: str) -> str:
    """Of a measure, whose unit is told elsewhere unless it is bytes."""
    if unit == "bytes":
        return figures.size(value)
    return number(value) if unit else figures.percent(value)


def spread(values: Sequence[float], unit: str) -> str:
    """Median, lowest and highest."""
    if not values:
        return figures.ABSENT
    found = summarise(values)
    shown = by_unit(found.median, unit)
    if found.n == 1:
        return shown
    return f"{shown} ({by_unit(found.min, unit)} to {by_unit(found.max, unit)})"


def interval(found: Ratio | None) -> str:
    if found is None or found.value is None:
        return figures.ABSENT
    if found.low is None or found.high is None:
        return figures.factor(found.value)
    low, high = figures.factor(found.low), figures.factor(found.high)
    return f"{figures.factor(found.value)} ({low} to {high})"


def share(found: Part | None) -> str:
    return figures.ABSENT if found is None else f"{found.part} of {found.whole}"


def counts(numbers: Sequence[int]) -> str:
    """ "5" or "3 to 5"."""
    return " to ".join(map(str, dict.fromkeys((min(numbers), max(numbers)))))


def tenths(fraction: float | None) -> str:
    """Percent with a digit behind the point, for what is small."""
    return figures.ABSENT if fraction is None else f"{100 * fraction:.1f} %"
