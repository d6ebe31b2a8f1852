"""Two sides measured alike, set beside each other: how many times as fast, and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, NamedTuple

from ...engines.events import EngineError
from ..clean import one_line
from .answers import MEASURES
from .likeness import Difference, Side, differences, shared, side, unanswered
from .passes import lacking, totals, whole
from .result import Result
from .statistics import Ratio, Verdict, ratio, verdict

TOTAL = "all cases"
EXIT: Mapping[str, int] = {"pass": 0, "regression": 1, "inconclusive": 2, "error": 3}
_TOLD = 3  # cases that a reason names

Samples = tuple[list[float], list[float]]  # of the candidate, and of the reference


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


def beside(
    result: Result, method: str, measure: str = "decode_tps", reference: str | None = None
) -> Beside:
    """`method` against another method of `result`, the first one where none is named, with which it
    took turns. The total is over the cases that are totalled for all methods. Raises EngineError
    where there is no such method."""
    here, there = _side(result, method), _side(result, reference)
    found = _differences(here, there, measure, turns=True)
    if any(each.matters for each in found):
        return Beside(here.method, there.method, measure, ratio((), ()), {}, found)
    both = _both(result.by_pass(measure, here.method), result.by_pass(measure, there.method), True)
    cases = {
        case: ratio(*_case(here, there, case, measure, True), paired=True)
        for case in shared(here, there)
    }
    total = ratio(*both, paired=True)
    return Beside(here.method, there.method, measure, total, cases, found)


def compare(
    candidate: Result,
    reference: Result,
    measure: str,
    threshold: float,
    candidate_method: str | None = None,
    reference_method: str | None = None,
) -> Comparison:
    """The verdict on the candidate: a regression where it is worse by the share `threshold` in
    total or in any case, a pass where the total passes and no case is one, an error where it could
    not answer a case that the reference did. The total is over the cases that have the measure on
    both sides. Methods are the first ones where they aren't named; those of one result took turns
    and are compared pass by pass, of the passes that both have. Raises EngineError where there is
    no such method or measure."""
    if measure not in MEASURES:
        known = ", ".join(MEASURES)
        raise EngineError(f"There is no measure {one_line(measure, 40)}.", f"There are: {known}.")
    here, there = _side(candidate, candidate_method), _side(reference, reference_method)
    turns = candidate is reference or None is not candidate.path == reference.path
    samples, left_out = _total(here, there, measure, turns)
    found = (
        *unanswered(here, there),
        *_differences(here, there, measure, turns),
        *left_out,
    )
    told = Comparison(measure, threshold, _name(here), _name(there), found, (), "error", "")
    if unlike := [each.sentence for each in found if each.matters]:
        return replace(told, reason=" ".join(["These can't be compared.", *unlike]))
    cases = shared(here, there)
    rows = [
        _row(TOTAL, *samples, told, turns),
        *(
            _row(case, *_case(here, there, case, measure, turns), told, turns, tests=len(cases))
            for case in cases
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
    mine, theirs = (whole(each.answers, shared(here, there)) for each in (here, there))
    if not turns or mine == theirs:
        return found
    dropped = Difference(
        "passes, of which those of both count", _listed(mine), _listed(theirs), False
    )
    return (*found, dropped)


def _listed(names: Iterable[int | str]) -> str:
    return one_line(", ".join(map(str, sorted(names, key=str)))) or "none"


def _total(
    here: Side, there: Side, measure: str, turns: bool
) -> tuple[Samples, tuple[Difference, ...]]:
    """Over the shared cases that both sides have the measure for, and a word on the others."""
    about, cases = MEASURES[measure], shared(here, there)
    passes = _passes(here, there, cases, turns)
    mine, theirs = (
        lacking(about, each.answers, cases, counted)
        for each, counted in zip((here, there), passes, strict=True)
    )
    kept = [case for case in cases if case not in mine | theirs]
    name = f"cases without {about.label} in some pass, left out of the total"
    left_out = Difference(name, _listed(mine), _listed(theirs), False)
    samples = _samples(here, there, kept, passes, measure, turns)
    return samples, (left_out,) if mine or theirs else ()


def _case(here: Side, there: Side, case: str, measure: str, turns: bool) -> Samples:
    passes = _passes(here, there, (case,), turns)
    return _samples(here, there, (case,), passes, measure, turns)


def _passes(
    here: Side, there: Side, cases: Sequence[str], turns: bool
) -> tuple[list[int], list[int]]:
    """Those of each side that answered all `cases`; where they took turns, those of both."""
    mine, theirs = (whole(each.answers, cases) for each in (here, there))
    if turns:
        mine = theirs = [number for number in mine if number in theirs]
    return mine, theirs


def _samples(
    here: Side,
    there: Side,
    cases: Sequence[str],
    passes: tuple[list[int], list[int]],
    measure: str,
    turns: bool,
) -> Samples:
    """One of each of its `passes` for either side, `cases` together."""
    mine, theirs = (
        totals(MEASURES[measure], each.answers, cases, counted)
        for each, counted in zip((here, there), passes, strict=True)
    )
    return _both(mine, theirs, turns)


def _both(here: Mapping[int, float], there: Mapping[int, float], turns: bool) -> Samples:
    if turns:
        numbers = sorted(here.keys() & there.keys())
        return [here[number] for number in numbers], [there[number] for number in numbers]
    return list(here.values()), list(there.values())


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
