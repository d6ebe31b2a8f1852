"""Answers as other tools' requests: their latencies, and the gaps between what came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..reading import only_records, read
from .answers import Answer
from .result import Result
from .runs import Run, runs


class Latencies(NamedTuple):
    """Milliseconds, by the names that other tools give them."""

    ttft: list[float]
    tpot: list[float]
    itl: list[float]  # between steps, which may emit several tokens
    e2el: list[float]


class Told(NamedTuple):
    """What only the raw log has of an answer."""

    gaps: list[float]  # seconds between its steps
    text: str


Key = tuple[str, int]  # the case of an answer, and its pass


def told(result: Result, method: str) -> Mapping[Key, Told]:
    """Of each measured answer, read from the raw log an answer at a time; of a result in memory
    nothing."""
    return {
        (run.case, run.number): Told([gap.ns / 1e9 for gap in run.metrics.gaps], run.text)
        for run in _runs(result)
        if run.method == method and run.measured
    }


def latencies(answers: Sequence[Answer], raw: Mapping[Key, Told]) -> Latencies:
    found = [raw[key] for each in answers if (key := (each.case, each.number)) in raw]
    return Latencies(
        [each.ttft_ns / 1e6 for each in answers if each.ttft_ns is not None],
        [each.tpot_ns / 1e6 for each in answers if each.tpot_ns is not None],
        [1e3 * gap for each in found for gap in each.gaps],
        [each.e2e_ns / 1e6 for each in answers if each.e2e_ns is not None],
    )


def _runs(result: Result) -> Iterator[Run]:
    if result.path:
        yield from runs(only_records(read(result.path)))
