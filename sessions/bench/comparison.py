"""Two sides measured alike, set beside each other: how many times as fast, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, NamedTuple

from ...engines.events import EngineError
from ..clean import one_line
from .answers import MEASURES
from .likeness import Difference, Side, differences, shared, side
from .result import Result
from .statistics import Ratio, Verdict, ratio, verdict

TOTAL = "all cases"
EXIT: Mapping[str, int] = {"pass": 0, "regression": 1, "inconclusive": 2, "error": 3}
_TOLD = 3  # cases that a reason names


class Row(NamedTuple):
    """A case, or TOTAL; its verdict is of the candidate. `here` and `there` are medians."""

    case: str
    ratio: Ratio
    verdict: Verdict
    here: float | None
    there: float | None


@dataclass(frozen=True, slots=True)
class Beside:
    """How many times the reference a method of the same result is. All ratios are absent where
    some difference matters."""

    method: str
    reference: str
    measure: str
    total: Ratio
    cases: Mapping[str, Ratio]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`rows` begin with the total; there are none where the sides are unlike."""

    measure: str
    threshold: float
    here: str  # the candidate
    there: str  # the reference
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]
    status: Literal["pass", "regression", "inconclusive", "error"]
    reason: str  # in sentences
    improved: bool = False

    @property
    def exit_status(self) -> int:
        return EXIT[self.status]


def beside(result: Result, method: str, measure: str = "decode_tps") -> Beside:
    """`method` against the first method of `result`, with which it took turns. Raises EngineError
    where there is no such method."""
    here, there = _side(result, method), _side(result, None)
    found = _differences(here, there, measure, turns=True)
    if any(each.matters for each in found):
        return Beside(here.method, there.method, measure, ratio((), ()), {}, found)
    total, *cases = (ratio(*each, paired=True) for each in _samples(here, there, measure, True))
    by_case = dict(zip(shared(here, there), cases, strict=True))
    return Beside(here.method, there.method, measure, total, by_case, found)


def compare(
    candidate: Result,
    reference: Result,
    measure: str,
    threshold: float,
    candidate_method: str | None = None,
    reference_method: str | None = None,
) -> Comparison:
    """The verdict on the candidate: a regression where it is worse by the share `threshold` in
    total or in any case, a pass where the total passes and no case is one. Methods are the first
    ones where they aren't named; those of one result took turns and are compared pass by pass, of
    the passes that both have. Raises EngineError where there is no such method or measure."""
    if measure not in MEASURES:
        known = ", ".join(MEASURES)
        raise EngineError(f"There is no measure {one_line(measure, 40)}.", f"There are: {known}.")
    here, there = _side(candidate, candidate_method), _side(reference, reference_method)
    turns = candidate is reference or None is not candidate.path == reference.path
    found = _differences(here, there, measure, turns)
    told = Comparison(measure, threshold, _name(here), _name(there), found, (), "error", "")
    if unlike := [each.sentence for each in found if each.matters]:
        return replace(told, reason=" ".join(["These can't be compared.", *unlike]))
    cases = shared(here, there)
    total, *others = _samples(here, there, measure, turns)
    rows = [
        _row(TOTAL, *total, told, turns),
        *(
            _row(case, *samples, told, turns, tests=len(cases))
            for case, samples in zip(cases, others, strict=True)
        ),
    ]
    return _judged(replace(told, rows=tuple(rows)))


def _side(result: Result, method: str | None) -> Side:
    methods = result.methods
    if method is not None and method not in methods:
        raise EngineError(
            f"{one_line(result.name) or 'The result'} has no method {one_line(method, 60)}.",
            f"There are: {one_line(', '.join(methods))}.",
        )
    return side(result, method if method is not None else next(iter(methods), ""))


def _name(side: Side) -> str:
    return one_line(" ".join(filter(None, (side.result.name, side.method))))


def _differences(here: Side, there: Side, measure: str, turns: bool) -> tuple[Difference, ...]:
    found = differences(here, there, measure)
    mine, theirs = (_whole_passes(each, shared(here, there)) for each in (here, there))
    if not turns or mine == theirs:
        return found
    dropped = Difference(
        "passes, of which those of both count", _listed(mine), _listed(theirs), False
    )
    return (*found, dropped)


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"


def _samples(
    here: Side, there: Side, measure: str, turns: bool
) -> list[tuple[list[float], list[float]]]:
    """Of both sides, one a pass: all shared cases together, then each of them."""
    cases = shared(here, there)
    found = []
    for some in (cases, *((case,) for case in cases)):
        mine, theirs = _by_pass(here, some, measure), _by_pass(there, some, measure)
        if turns:
            both = mine.keys() & theirs.keys()
            mine, theirs = ({n: each[n] for n in sorted(both)} for each in (mine, theirs))
        found.append((list(mine.values()), list(theirs.values())))
    return found


def _by_pass(side: Side, cases: Sequence[str], measure: str) -> dict[int, float]:
    """Of the passes that answered all of `cases`."""
    found = {}
    for number in sorted(_whole_passes(side, cases)):
        value = MEASURES[measure].over([side.answers[case][number] for case in cases])
        if value is not None:
            found[number] = value
    return found


def _whole_passes(side: Side, cases: Sequence[str]) -> set[int]:
    passes = [set(side.answers[case]) for case in cases]
    return set.intersection(*passes) if passes else set()


def _row(
    name: str,
    here: list[float],
    there: list[float],
    told: Comparison,
    turns: bool,
    tests: int = 1,
) -> Row:
    """Any one of many cases is soon past a limit by chance: by Bonferroni's rule each p counts as
    often as there are `tests`."""
    found = ratio(here, there, paired=turns)
    higher = MEASURES[told.measure].better == "higher"
    judged = verdict(_times(found, tests), told.threshold, higher)
    return Row(name, found, judged, _median(here), _median(there))


def _times(found: Ratio, tests: int) -> Ratio:
    lower, higher = (
        None if p is None else min(1.0, p * tests) for p in (found.p_lower, found.p_higher)
    )
    return replace(found, p_lower=lower, p_higher=higher)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _judged(told: Comparison) -> Comparison:
    total, *cases = told.rows
    worse = [each for each in cases if each.verdict.status == "regression"]
    status = "regression" if worse else total.verdict.status
    sentences = [_sentence(each, told.measure) for each in (total, *worse[:_TOLD])]
    if len(worse) > _TOLD:
        more = len(worse) - _TOLD
        sentences.append(f"And {more} more case{'s' if more > 1 else ''}.")
    unclear = sum(each.verdict.status == "inconclusive" for each in cases)
    if status == "pass" and unclear:
        sentences.append(f"Taken alone, {unclear} of {len(cases)} cases are inconclusive.")
    reason = " ".join(sentences)
    return replace(told, status=status, reason=reason, improved=total.verdict.improved)


def _sentence(row: Row, measure: str) -> str:
    """What was measured, and what follows from it."""
    if row.here is None or row.there is None:
        return f"{_first_up(row.case)}: {row.verdict.reason}"
    label, unit, *_ = MEASURES[measure]
    times = f", {row.ratio.value:.3f} times the reference" if row.ratio.value is not None else ""
    counts = f"n = {row.ratio.n_candidate} and {row.ratio.n_reference}"
    figures = f"{label} {row.here:.4g} against {row.there:.4g} {unit}".rstrip()
    return f"{_first_up(row.case)}: {figures}{times} ({counts}). {row.verdict.reason}"


def _first_up(name: str) -> str:
    shown = one_line(name, 60)
    return shown[:1].upper() + shown[1:]
