"""A result as the tables that a person reads, on a terminal or in a report."""

from __future__ import annotations

from collections.abc import Sequence

from .answers import MEASURES
from .comparison import TOTAL, Beside, Comparison
from .conditions import conditions
from .derived import left_out
from .method_tables import method_tables
from .remarks import remarks
from .result import Result
from .standing import besides
from .statistics import Summary, summarise
from .table import Table, as_markdown, as_text
from .verdict_tables import verdict_tables
from .words import counts, interval, number, spread, tenths

__all__ = ["Table", "as_markdown", "as_text", "tables"]

SHOWN = ("decode_tps", "e2e_tps", "prefill_tps", "ttft_ms", "acceptance")  # cases by methods
DETAILED = ("decode_tps", "ttft_ms")  # with ratios, and all of their statistics


def tables(result: Result, comparison: Comparison | None = None) -> list[Table]:
    """Those that have something to tell, in the order of a report."""
    sides = {each: besides(result, each) for each in DETAILED}
    found = [
        *(verdict_tables(comparison) if comparison else ()),
        *(_matrix(result, each) for each in SHOWN),
        *(_ratios(result, each, sides[each]) for each in DETAILED),
        Table("Remarks", notes=remarks(result, sides["decode_tps"]), first=True),
        *method_tables(result),
        *(_statistics(result, each) for each in DETAILED),
        _failures(result),
        conditions(result),
    ]
    return [each for each in found if each.rows or each.notes]


def _matrix(result: Result, measure: str) -> Table:
    values = {
        case: [result.values(measure, case, method) for method in result.methods]
        for case in result.case_names
    }
    notes = []
    if len(values) > 1:
        values[TOTAL] = [result.totals(measure, method) for method in result.methods]
        notes += [f"{TOTAL}: a whole pass through them is one value.", *left_out(result, measure)]
    ns = sorted({len(each) for row in values.values() for each in row if each})
    if not ns:
        return Table(measure)
    alike, unit = len(ns) == 1, MEASURES[measure].unit
    rows = [
        (case, *(spread(each, unit) + _counted(each, alike) for each in row))
        for case, row in values.items()
    ]
    told = f"n = {counts(ns)}" if alike else "n in brackets"
    notes.insert(0, f"Median (lowest to highest), {told}.")
    first = measure == DETAILED[0]
    return Table(_titled(measure), ("case", *result.methods), rows, notes, first=first)


def _counted(values: list[float], alike: bool) -> str:
    return "" if alike or not values else f" [{len(values)}]"


def _ratios(result: Result, measure: str, found: Sequence[Beside]) -> Table:
    """Each method over the first."""
    first, *others = result.methods or ("",)
    cases = [case for case in result.case_names if any(case in each.cases for each in found)]
    rows = [(case, *(interval(each.cases.get(case)) for each in found)) for case in cases]
    if len(cases) > 1:
        rows.append((TOTAL, *(interval(each.total) for each in found)))
    ns = sorted(each.total.n_candidate for each in found if each.total.value is not None)
    more = "more" if MEASURES[measure].better == "higher" else "less"
    notes = [f"Ratio (90 % interval), n = {counts(ns)}; {more} than 1 is better."] if ns else []
    notes += left_out(result, measure) if ns and len(cases) > 1 else []
    for each in found:
        notes += [f"{each.method}: {told.sentence}" for told in each.differences if told.matters]
    title = f"{MEASURES[measure].label} over that of {first}"
    return Table(_raised(title), ("case", *others), rows, notes, first=measure == DETAILED[0])


def _statistics(result: Result, measure: str) -> Table:
    head = ("case", "method", "n", "median", "mean", "std", "CV", "IQR", "min", "max", "p95")
    rows = []
    for case in result.case_names:
        for method in result.methods:
            found = summarise(result.values(measure, case, method))
            if found.n:
                rows.append((case, method, *_statistic(found)))
    notes = ["std of the sample; the median is the p50; a p95 needs 20 values."] if rows else []
    return Table(f"Statistics: {_titled(measure)}", head, rows, notes, words=2)


def _statistic(found: Summary) -> tuple[str, ...]:
    centre = (found.median, found.mean, found.std)
    rest = (found.iqr, found.min, found.max, found.p95)
    cv = tenths(found.cv)
    return (str(found.n), *map(number, centre), cv, *map(number, rest))


def _failures(result: Result) -> Table:
    return Table("Not answered", ("method", "case", "why"), result.failures, words=3, first=True)


def _titled(measure: str) -> str:
    about = MEASURES[measure]
    return _raised(", ".join(filter(None, (about.label, about.unit))))


def _raised(title: str) -> str:
    return title[:1].upper() + title[1:]
