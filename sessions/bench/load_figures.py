"""What a load on a server amounts to, by the number of requests in flight, read from its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ...engines.events import Chunk, EngineError, Loaded
from ..reading import only_records, read
from ..records import Header, Record, Trial
from ..turns import SECOND, TurnMetrics
from .plan import Plan
from .runs import Run, runs
from .statistics import Summary, summarise

MS = 1e6
LIMITS = ("ttft", "tpot", "e2el")  # milliseconds, under the names of `vllm bench serve`
Limits = Mapping[str, float]


class Answered(NamedTuple):
    """A request that came to its end, and when pieces of text came in."""

    run: Run
    pieces: tuple[int, ...]  # nanoseconds between them

    @property
    def turn(self) -> TurnMetrics:
        return self.run.metrics


@dataclass(frozen=True, slots=True)
class Level:
    """One number of requests in flight; warm-ups are in no figure. Sums and rates are None where
    the server does not tell the tokens of every answer."""

    concurrency: int
    completed: int
    failed: Mapping[str, int]  # by what was wrong
    cut: int  # still in flight when the time was over
    seconds: float | None  # from the first request to the last end
    prompt_tokens: int | None
    tokens: int | None
    good: int | None  # within all limits; None without limits, or where a figure is not told
    ttft: Summary  # milliseconds, as the next ones
    adjusted_ttft: Summary  # without the network's round trip
    tpot: Summary
    gaps: Summary
    e2e: Summary
    counted: bool  # gaps are between tokens, as the server counts along; else between pieces
    tokens_a_gap: float | None

    @property
    def request_throughput(self) -> float | None:
        return self._a_second(self.completed)

    @property
    def output_throughput(self) -> float | None:
        return self._a_second(self.tokens)

    @property
    def total_throughput(self) -> float | None:
        known = None not in (self.tokens, self.prompt_tokens)
        return self._a_second((self.tokens or 0) + (self.prompt_tokens or 0) if known else None)

    @property
    def goodput(self) -> float | None:
        """Requests a second within all limits."""
        return self._a_second(self.good)

    def _a_second(self, count: int | None) -> float | None:
        return count / self.seconds if count is not None and self.seconds else None


@dataclass(frozen=True, slots=True)
class LoadResult:
    path: Path  # of the raw log
    header: Header | None
    plan: Plan
    loaded: Loaded | None
    levels: tuple[Level, ...]
    notes: tuple[str, ...]  # what the server said of the requests, each once
    limits: Limits


def read_load(path: Path, limits: Limits | None = None) -> LoadResult:
    """Raises EngineError where `path` is no raw log of a load."""
    told = _Told()
    found: dict[str, list[Answered]] = {}
    ended: dict[str, list[Run]] = {}
    for each in told.answers(only_records(read(path))):
        if not each.run.warmup:
            ended.setdefault(each.run.method, []).append(each.run)
            if each.turn.finished:
                found.setdefault(each.run.method, []).append(each)
        told.note(each.turn)
    if told.plan is None or told.plan.purpose != "load":
        raise EngineError("This is no log of a load.", "Name one that bench --concurrency wrote.")
    levels = tuple(
        level(int(name), all_of, found.get(name, []), limits or {})
        for name, all_of in ended.items()
    )
    notes = tuple(told.notes)
    return LoadResult(path, told.header, told.plan, told.loaded, levels, notes, limits or {})


def level(
    concurrency: int, ended: Sequence[Run], answers: Sequence[Answered], limits: Limits
) -> Level:
    """Of all requests that `ended` somehow, and of those with an answer."""
    turns = [each.turn for each in answers]
    counted = any(turn.gaps for turn in turns)
    gaps = [gap for turn in turns for gap in turn.gaps]
    between = (
        [gap.ns for gap in gaps] if counted else [ns for each in answers for ns in each.pieces]
    )
    stops = [each.metrics.stop for each in ended]
    failed = [f"{stop.what} {stop.remedy}" for stop in stops if stop and stop.reason == "error"]
    return Level(
        concurrency=concurrency,
        completed=len(answers),
        failed=dict(Counter(each.strip() for each in failed)),
        cut=sum(each.metrics.cancelled for each in ended),
        seconds=_seconds([each.metrics for each in ended]),
        prompt_tokens=_sum(turn.prompt_tokens for turn in turns),
        tokens=_sum(turn.completion_tokens for turn in turns),
        good=_good(turns, limits) if limits else None,
        ttft=_summary(turns, lambda turn: turn.ttft_ns),
        adjusted_ttft=_summary(turns, lambda turn: turn.adjusted_ttft_ns),
        tpot=_summary(turns, lambda turn: turn.tpot_ns),
        gaps=summarise([ns / MS for ns in between]),
        e2e=_summary(turns, lambda turn: turn.e2e_ns),
        counted=counted,
        tokens_a_gap=sum(gap.tokens for gap in gaps) / len(gaps) if counted and gaps else None,
    )


class _Told:
    """Follows the log: what is not of one answer, and the pieces of the answer under way."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.plan: Plan | None = None
        self.loaded: Loaded | None = None
        self.notes: dict[str, None] = {}
        self._pieces: list[int] = []

    def answers(self, records: Iterable[Record]) -> Iterator[Answered]:
        for run in runs(map(self._passing, records)):
            yield Answered(run, tuple(b - a for a, b in pairwise(self._pieces)))

    def note(self, turn: TurnMetrics) -> None:
        said = (
            *(turn.start.notes if turn.start else ()),
            *(turn.served.notes if turn.served else ()),
        )
        self.notes |= dict.fromkeys(said)

    def _passing(self, record: Record) -> Record:
        match record:
            case Header():
                self.header = self.header or record
            case Plan():
                self.plan = record
            case Loaded():
                self.loaded = record
            case Trial():
                self._pieces = []
            case Chunk(text=text) if text:
                self._pieces.append(record.t_ns)
            case _:
                pass
        return record


def _seconds(turns: Sequence[TurnMetrics]) -> float | None:
    begun = [turn.start.t_ns for turn in turns if turn.start]
    ended = [turn.stop.t_ns for turn in turns if turn.stop]
    return (max(ended) - min(begun)) / SECOND if begun and ended else None


def _good(turns: Sequence[TurnMetrics], limits: Limits) -> int | None:
    """An answer of one token, or whose tokens came in at once, has no time between them that could
    be too long."""
    good = 0
    for turn in turns:
        tpot = turn.tpot_ns if turn.completion_tokens is None else turn.tpot_ns or 0
        known = {"ttft": turn.ttft_ns, "tpot": tpot, "e2el": turn.e2e_ns}
        values = [(known[name], limit) for name, limit in limits.items()]
        if any(value is None for value, _ in values):
            return None
        good += all(value is not None and value / MS <= limit for value, limit in values)
    return good


def _summary(turns: Sequence[TurnMetrics], ns: Callable[[TurnMetrics], float | None]) -> Summary:
    return summarise([value / MS for turn in turns if (value := ns(turn)) is not None])


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    told = [each for each in known if each is not None]
    return sum(told) if len(told) == len(known) else None
