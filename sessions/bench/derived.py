"""What follows from a result beyond its measures: scaling, spread, totals, words, memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import NamedTuple

from ...engines.options import OptionError
from ..turns import Position, rate
from .answers import Answer
from .fit import Line, fit_line
from .plan import Case, Method, Plan, options
from .result import Result, same_words
from .statistics import Summary, summarise

LISTED = 8  # cases that are named
COVERED = 0.9  # share of answers that a length is asked to hold


class Part(NamedTuple):
    """`part` of `whole` answers."""

    part: int
    whole: int


@dataclass(frozen=True, slots=True)
class Total:
    """All measured answers of a method, as if given one after another."""

    answers: int
    tokens: int
    wall_ns: int

    @property
    def tps(self) -> float | None:
        return rate(self.tokens, self.wall_ns)

    @property
    def answers_per_second(self) -> float | None:
        return rate(self.answers, self.wall_ns)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. Peaks are of what was sampled once a second; `parts` are as at the end of the last
    answer, or else after loading; `estimate` is weights and KV cache alone."""

    peak_rss: int | None
    peak_vram: int | None
    parts: Mapping[str, int]

    @property
    def estimate(self) -> int | None:
        known = [self.parts[name] for name in ("weights", "kv_cache") if name in self.parts]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Cover:
    """`tokens` are enough for `share` of `n` answers; None where that many were cut off."""

    tokens: int | None
    share: float
    n: int


def of_method(result: Result, method: str) -> list[Answer]:
    return [each for each in result.measured if each.method == method]


def left_out(result: Result, measure: str = "decode_tps") -> list[str]:
    """A sentence where totals are not over all cases."""
    kept = set(result.totalled[measure])
    out = [case for case in result.case_names if case not in kept]
    if not out:
        return []
    more = f" and {len(out) - LISTED} more" if len(out) > LISTED else ""
    return [
        f"Not in the totals, as not every method has a figure: {', '.join(out[:LISTED])}{more}."
    ]


def is_remote(result: Result, method: str) -> bool:
    """Whether a server answered, which this machine's memory tells nothing of."""
    loaded = result.model(method)
    return bool(loaded and loaded.spec.url)


def cases_of(result: Result, method: str) -> list[str]:
    """Those that it answered."""
    answered = {each.case for each in of_method(result, method)}
    return [case for case in result.case_names if case in answered]


def prefill_line(result: Result, method: str) -> Line | None:
    """Milliseconds to read a prompt against its evaluated tokens, by the median of each case."""
    points = []
    for case in cases_of(result, method):
        known = [
            (each.evaluated_tokens, each.prompt_ns / 1e6)
            for each in result.of(case, method)
            if each.evaluated_tokens and each.prompt_ns is not None
        ]
        if known:
            tokens, ms = zip(*known, strict=True)
            points.append((float(median(tokens)), median(ms)))
    return fit_line([x for x, _ in points], [y for _, y in points])


def decode_by_case(result: Result, method: str) -> Summary:
    """Of the median decode rates of the cases: its `cv` is how far the text decides the speed."""
    found = [result.values("decode_tps", case, method) for case in cases_of(result, method)]
    return summarise([median(each) for each in found if each])


def load_ms(result: Result, method: str) -> list[float]:
    """Of every time that weights were made ready for it."""
    return [each.loaded.load_ns / 1e6 for each in result.loads if each.method == method]


def total(result: Result, method: str) -> Total:
    timed = [(each, each.e2e_ns) for each in of_method(result, method) if each.e2e_ns]
    return Total(len(timed), sum(each.tokens for each, _ in timed), sum(ns for _, ns in timed))


def right(result: Result, method: str) -> Part | None:
    """Answers that hold the expected text, of those that one is known for."""
    judged = [each.right for each in of_method(result, method) if each.right is not None]
    return Part(sum(judged), len(judged)) if judged else None


def positions(answers: Sequence[Answer]) -> tuple[Position, ...]:
    """Drafted and kept tokens by their place in a draft, of all answers together."""
    places = zip_longest(*(each.positions for each in answers), fillvalue=Position(0, 0))
    return tuple(
        Position(sum(each.drafted for each in place), sum(each.accepted for each in place))
        for place in places
    )


def distinct(result: Result, case: str, method: str) -> int | None:
    """Different answers that were given; None where the words aren't known."""
    words = {each.words for each in result.of(case, method)}
    return None if not words or "" in words else len(words)


def as_reference(result: Result, method: str) -> Part | None:
    """Cases answered in the same words as by the first method, of those where that is known."""
    first = result.methods[0]
    found = [
        same_words(result.of(case, method), result.of(case, first))
        for case in cases_of(result, method)
    ]
    known = [each for each in found if each is not None]
    return Part(sum(known), len(known)) if known else None


def memory(result: Result, method: str) -> Memory:
    mine = of_method(result, method)
    loaded = result.model(method)
    held = next((each.memory for each in reversed(mine) if each.memory), None)
    return Memory(
        _most(each.peak_rss for each in mine),
        _most(each.peak_vram for each in mine),
        held or (loaded.memory if loaded else {}),
    )


def cover(result: Result, method: str, share: float = COVERED) -> Cover | None:
    """Of one answer to each case, but for those that had to go on to a given length; None where
    not even one answer may lie beyond. An answer that was cut off is longer than any."""
    cases = set(cases_of(result, method)) - unending(result, method)
    told = [result.of(case, method)[0] for case in cases]
    lengths = sorted(
        each.tokens if each.reason == "stop" else math.inf for each in told if each.tokens
    )
    at = math.ceil(share * len(lengths))
    if at == len(lengths):
        return None
    held = lengths[at - 1]
    return Cover(None if held == math.inf else int(held), share, len(lengths))


def unending(result: Result, method: str) -> set[str]:
    """Cases whose answers were not ended by an end token, but by their length alone."""
    plan = result.plan
    way = next((each for each in plan.methods if each.name == method), None) if plan else None
    if plan is None or way is None:
        return set()
    answered = cases_of(result, method)
    return {
        case.name for case in result.cases if case.name in answered and _goes_on(plan, case, way)
    }


def _goes_on(plan: Plan, case: Case, way: Method) -> bool:
    try:
        return options(plan, case, way)[1].ignore_eos == "on"
    except OptionError:
        return False  # a log may say anything


def _most(values: Iterable[int | None]) -> int | None:
    return max((each for each in values if each is not None), default=None)
