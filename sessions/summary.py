"""A session's numbers: totals over its turns, never means of rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from ..engines.events import Event, Stop
from .bench.plan import Case, Plan
from .records import Clear, Header, Record, Setting, Trial, Turn, Undo, outside_trials
from .turns import Gap, TurnMetrics, rate, ratio

Number = TypeVar("Number", int, float)
_TAIL = 90  # a percentile from here on needs a value beyond it


class Percentile(NamedTuple):
    """By linear interpolation, of `n` values; None where they are too few to tell."""

    value: float | None
    n: int


class TurnRecords(NamedTuple):
    """A turn and the events that answer it, up to its Stop where there is one."""

    turn: Turn
    events: list[Event]


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """Totals over `measured` turns: those that came to their end and weren't cold. The others are
    counted, each once, and kept out of every rate."""

    turns: int
    measured: int
    cold: int
    cancelled: int
    failed: int
    unfinished: int  # no Stop: still going on, or cut off
    tokens: int
    passes: int
    drafted: int
    accepted: int
    rejections: int | None  # absent where that of a turn is
    decode_rate: float | None
    e2e_rate: float | None
    prefill_rate: float | None
    ttft_ns: tuple[int, ...]
    tpot_ns: tuple[float, ...]
    gaps: tuple[Gap, ...]

    @property
    def acceptance(self) -> float | None:
        return ratio(self.accepted, self.drafted)

    @property
    def mean_accepted_length(self) -> float | None:
        return ratio(self.tokens, self.passes)

    @property
    def token_acceptance(self) -> float | None:
        if self.rejections is None:
            return None
        return ratio(self.accepted, self.accepted + self.rejections)


def session_metrics(turns: Iterable[TurnMetrics]) -> SessionMetrics:
    turns = list(turns)
    measured = [each for each in turns if each.finished and not each.cold]
    return SessionMetrics(
        turns=len(turns),
        measured=len(measured),
        cold=sum(each.finished and each.cold for each in turns),
        cancelled=sum(each.cancelled for each in turns),
        failed=sum(each.reason == "error" for each in turns),
        unfinished=sum(each.reason is None for each in turns),
        tokens=sum(each.tokens for each in measured),
        passes=sum(each.passes for each in measured),
        drafted=sum(each.drafted for each in measured),
        accepted=sum(each.accepted for each in measured),
        rejections=_sum([each.rejections for each in measured]),
        decode_rate=_rate((each.decode_tokens, each.decode_ns) for each in measured),
        e2e_rate=_rate((each.tokens, each.e2e_ns) for each in measured),
        prefill_rate=_rate((each.evaluated_tokens, each.prompt_ns) for each in measured),
        ttft_ns=_present(measured, lambda each: each.ttft_ns),
        tpot_ns=_present(measured, lambda each: each.tpot_ns),
        gaps=tuple(gap for each in measured for gap in each.gaps),
    )


def percentile(values: Sequence[float], q: float) -> Percentile:
    """The `q`-th of 100. From the 90th on at least one value in n must lie beyond it, so that a
    p95 takes 20 values."""
    n = len(values)
    if n == 0 or (q >= _TAIL and n * (100 - q) < 100):
        return Percentile(None, n)
    return Percentile(float(np.percentile(values, q, method="linear")), n)


def split_turns(records: Iterable[Record]) -> list[TurnRecords]:
    """Events outside a turn, such as loading and trials, belong to none."""
    turns: list[TurnRecords] = []
    answering = False
    for record in outside_trials(records):
        if isinstance(record, Turn):
            turns.append(TurnRecords(record, []))
            answering = True
        elif answering and not isinstance(
            record, Header | Setting | Undo | Clear | Trial | Plan | Case
        ):
            turns[-1].events.append(record)
            answering = not isinstance(record, Stop)
    return turns


def _rate(parts: Iterable[tuple[int | None, int | None]]) -> float | None:
    """Sum of tokens over sum of times, of the turns that have both."""
    whole = [(tokens, ns) for tokens, ns in parts if tokens and ns]
    return rate(sum(tokens for tokens, _ in whole), sum(ns for _, ns in whole))


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [each for each in parts if each is not None]
    return sum(known) if len(known) == len(parts) else None


def _present(
    turns: Iterable[TurnMetrics], value: Callable[[TurnMetrics], Number | None]
) -> tuple[Number, ...]:
    return tuple(found for each in turns if (found := value(each)) is not None)
