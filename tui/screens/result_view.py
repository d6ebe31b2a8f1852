"""A kept result as it is looked at, read once: its tables, its charts, and a word for a list."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from ...engines.events import EngineError
from ...sessions import figures
from ...sessions.bench.chart import Chart
from ...sessions.bench.comparison import beside, compare
from ...sessions.bench.draw_text import draw_text
from ...sessions.bench.result import Result, read_result
from ...sessions.bench.saved_results import Saved, look, single_tables
from ...sessions.bench.standing import beyond, passes_for
from ...sessions.bench.table import as_text
from ...sessions.bench.written import Report
from ...sessions.clean import one_line
from ..commands.compare import THRESHOLD

RATE = "decode_tps"
HEIGHT = 18  # rows of a chart below tables


@dataclass(frozen=True)
class View:
    saved: Saved
    report: Report | None  # None where single results lie there alone

    @cached_property
    def charts(self) -> list[Chart]:
        return self.report.charts if self.report else []

    def first(self, width: int) -> str:
        """What a person looks at first: the main tables, and a chart."""
        return "\n\n".join([*self._tables(width), *self._drawn(width, self.charts[:1])])

    def full(self, width: int) -> str:
        return "\n\n".join([*self._tables(width, full=True), *self._drawn(width, self.charts)])

    def chart(self, number: int, width: int, height: int) -> str:
        return draw_text(self.charts[number], width, height, False, _encoding())

    def _tables(self, width: int, full: bool = False) -> list[str]:
        mine = [self.report.as_text(full, width)] if self.report else []
        return mine + [as_text(each, width) for each in single_tables(self.saved)]

    def _drawn(self, width: int, charts: list[Chart]) -> list[str]:
        return [draw_text(each, width, HEIGHT, False, _encoding()) for each in charts]


def view(path: Path) -> View:
    """Raises EngineError where `path` holds no result, or one that can't be read."""
    saved = look(path)
    if saved is None:
        raise EngineError(f"{one_line(str(path))} holds no result.")
    return View(saved, Report(read_result(path)) if saved.purpose else None)


def compared(here: View, there: View, width: int) -> str:
    """The verdict on `here`, measured against `there`. Raises EngineError."""
    if not here.report or not there.report:
        raise EngineError("Only what /bench, /sweep, /replay or /compare kept can be compared.")
    found = compare(here.report.result, there.report.result, RATE, THRESHOLD)
    return Report(here.report.result, found).as_text(width=width)


@dataclass(frozen=True, slots=True)
class Best:
    """What a list tells of a result."""

    rate: str  # of the fastest method, tokens/s
    verdict: str


def best(result: Result) -> Best:
    """The fastest method over the first, and whether that is beyond noise."""
    totals = {each: result.totals(RATE, each) for each in result.methods}
    rates = {method: median(each) for method, each in totals.items() if each}
    if not rates:
        return Best(figures.ABSENT, "nothing was measured")
    first, fastest = result.methods[0], max(rates, key=lambda each: rates[each])
    rate = figures.rate(rates[fastest])
    if len(result.methods) == 1:
        return Best(rate, figures.ABSENT)
    if fastest == first:
        return Best(rate, f"none is faster than {first}")
    found = beside(result, fastest).total
    tests = len(result.methods) - 1
    sure = beyond(found, tests) == "faster"
    few = found.n_candidate < passes_for(tests)
    doubt = "" if sure else "too few passes: " if few else "within noise: "
    return Best(rate, f"{doubt}{fastest} {figures.factor(found.value)} × {first}")


def _encoding() -> str:
    return getattr(sys.__stdout__, "encoding", None) or "ascii"
