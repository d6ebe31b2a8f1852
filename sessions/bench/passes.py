"""A method's answers case by case and pass by pass, and what a pass has in all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from .answers import Answer, Measure

Answered = Mapping[str, Mapping[int, Answer]]  # by case, then by pass


def by_case(measured: Iterable[Answer]) -> dict[str, dict[int, Answer]]:
    """Of one method."""
    found: dict[str, dict[int, Answer]] = {}
    for each in sorted(measured, key=lambda each: each.number):
        found.setdefault(each.case, {})[each.number] = each
    return found


def whole(answers: Answered, cases: Collection[str]) -> list[int]:
    """The passes that answered all of `cases`."""
    passes = [set(answers.get(case, ())) for case in cases]
    return sorted(set.intersection(*passes)) if passes else []


def lacking(
    measure: Measure, answers: Answered, cases: Collection[str], passes: Sequence[int]
) -> set[str]:
    """Cases that don't have the measure in all of `passes`, as a rate where an answer came in one
    step. A total with them would be over other cases than its neighbour."""
    if measure.partial:
        return set()
    return {
        case
        for case in cases
        if any(measure.of(answers[case][number]) is None for number in passes)
    }


def totals(
    measure: Measure, answers: Answered, cases: Collection[str], passes: Sequence[int]
) -> dict[int, float]:
    """By pass, of those that have it."""
    found = {number: measure.over([answers[case][number] for case in cases]) for number in passes}
    return {number: value for number, value in found.items() if value is not None}
