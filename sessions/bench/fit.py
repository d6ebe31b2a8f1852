"""A straight line through points, such as the time to first token over the prompt's length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .statistics import by_power, scaled_down

_FEWEST = 3  # a line through two points always fits


class Line(NamedTuple):
    """y = intercept + slope x, by least squares."""

    slope: float
    intercept: float
    r2: float | None  # share of the variance of y that the line explains; None where y is constant
    n: int

    def at(self, x: float) -> float:
        return self.intercept + self.slope * x


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """None for fewer than 3 points, for a constant x, and for a line beyond a float's range.
    Raises ValueError where there isn't a y for each x, and for infinities and NaN."""
    if len(x) != len(y):
        raise ValueError("a line needs a y for each x")
    if len(x) < _FEWEST or min(x) == max(x):
        return None
    from scipy.stats import linregress

    (across, x_power), (up, y_power) = scaled_down(x), scaled_down(y)
    with np.errstate(all="ignore"):
        found = linregress(across, up)
    slope = by_power(float(found.slope), y_power - x_power)
    intercept = by_power(float(found.intercept), y_power)
    if slope is None or intercept is None:
        return None
    r2 = float(found.rvalue) ** 2
    return Line(slope, intercept, r2 if np.isfinite(r2) else None, len(x))
