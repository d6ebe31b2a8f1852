"""A result as one table that fits beside the HUD, a row for each method."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ...sessions import figures
from ...sessions.bench.comparison import TOTAL, beside
from ...sessions.bench.derived import memory
from ...sessions.bench.result import Result
from ...sessions.bench.statistics import Ratio
from ...sessions.bench.table import Table, as_text
from ...sessions.clean import one_line
from .experiment_words import WIDTH, times

RATE = "decode_tps"


def standings(result: Result, title: str) -> str:
    """Of one case all that a method costs, of several cases the rate in each; every method over the
    first one, pass by pass. What is left out is told below, with why."""
    table = _costs(result, title) if len(result.case_names) == 1 else _rates(result, title)
    return as_text(table, WIDTH)


def ratio_of(result: Result, method: str) -> Ratio | None:
    """Of decoding, over the first method; None of that itself."""
    return beside(result, method).total if method != result.methods[0] else None


def _costs(result: Result, title: str) -> Table:
    (case,) = result.case_names
    rows = []
    for method in _answered(result):
        held = memory(result, method).parts.values()
        rows.append(
            (
                method,
                figures.rate(_median(result.values(RATE, case, method))),
                _over_first(result, method),
                _milliseconds(_median(result.values("ttft_ms", case, method))),
                figures.percent(_median(result.values("acceptance", case, method))),
                figures.size(sum(held) if held else None),
            )
        )
    head = ("method", "tok/s", f"× {result.methods[0]}", "TTFT", "kept", "memory")
    return Table(title, head, rows, _left_out(result))


def _rates(result: Result, title: str) -> Table:
    rows = []
    for method in _answered(result):
        cases = [_median(result.values(RATE, case, method)) for case in result.case_names]
        total = _median(result.totals(RATE, method))
        rates = map(figures.rate, (*cases, total))
        rows.append((method, *rates, _over_first(result, method)))
    head = ("tok/s", *result.case_names, TOTAL, f"× {result.methods[0]}")
    return Table(title, head, rows, _left_out(result))


def _answered(result: Result) -> list[str]:
    """Those that can answer, or may yet."""
    failed = {each.method for each in result.failures}
    return [each for each in result.methods if each not in failed or result.by_case(each)]


def _over_first(result: Result, method: str) -> str:
    """Of one pass alone nothing is said."""
    found = ratio_of(result, method)
    if found is None:
        return "1"
    return times(found) if found.n_candidate > 1 else figures.ABSENT


def _left_out(result: Result) -> list[str]:
    """Once for a method, whatever the case."""
    why = {each.method: each.why for each in result.failures}
    return [f"{method} is left out: {one_line(told)}" for method, told in why.items()]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _milliseconds(value: float | None) -> str:
    return figures.duration(None if value is None else value / 1000)
