"""How the methods of a result stand to each other, beyond noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Literal

from .comparison import Beside, beside
from .result import Result
from .statistics import FEWEST, NOISE, Ratio


@dataclass(frozen=True, slots=True)
class Best:
    """The fastest value of a sweep, and how it stands to the next one."""

    method: str
    second: str
    ratio: Ratio | None  # to the second; None where they are not alike but for the setting

    @property
    def sure(self) -> bool:
        """Whether it is beyond noise."""
        return beyond(self.ratio) == "faster" if self.ratio else False


def besides(result: Result, measure: str) -> list[Beside]:
    """Every other method beside the first."""
    return [beside(result, each, measure) for each in result.methods[1:]]


def beyond(found: Ratio, tests: int = 1) -> Literal["faster", "slower", ""]:
    """What a rate's ratio says beyond noise: by its whole interval, its p, and enough passes. By
    Bonferroni's rule p counts as often as there are `tests` that it is picked from."""
    if found.low is None or found.high is None or found.n_candidate < FEWEST:
        return ""
    if found.low > 1 and found.p_higher is not None and found.p_higher * tests <= NOISE:
        return "faster"
    if found.high < 1 and found.p_lower is not None and found.p_lower * tests <= NOISE:
        return "slower"
    return ""


def passes_for(tests: int) -> int:
    """The fewest passes of which `beyond` can tell anything: of n pairs no p is below 2**-n."""
    return max(FEWEST, math.ceil(math.log2(tests / NOISE)))


def best_of_sweep(result: Result) -> Best | None:
    """By the decode rates of whole passes through the cases that all methods answered; None of what
    is no sweep, or of one value alone."""
    if not result.plan or not result.plan.swept:
        return None
    swept = [each.name for each in result.plan.methods if result.plan.swept in each.changes]
    rates = {name: result.totals("decode_tps", name) for name in swept}
    ranked = sorted((name for name in swept if rates[name]), key=lambda name: -median(rates[name]))
    if len(ranked) < 2:
        return None
    found = beside(result, ranked[0], reference=ranked[1]).total
    return Best(ranked[0], ranked[1], found if found.value is not None else None)
