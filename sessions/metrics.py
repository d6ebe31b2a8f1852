"""From a turn's events to its numbers, as they come. What each means: turns.py."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from ..engines.events import Chunk, Event, Prefill, Served, Start, Step, Stop
from .served import served_metrics
from .turns import SECOND, Gap, Position, TurnMetrics

WINDOW = SECOND  # of live tokens/s
BUCKETS = 10_000  # of a history at most: a log may tell of any time


class Meter:
    """Folds a turn's events one by one; `metrics` may be asked for at any time."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self._stop: Stop | None = None
        self._served: Served | None = None
        self._pieces: list[int] = []  # times of the first and the last piece of a server's answer
        self._along = False  # the server has counted from the first piece on
        self._prefill: int | None = None
        self._visible: int | None = None
        self._times: list[int] = []  # of the steps that emitted
        self._totals: list[int] = []  # tokens up to each
        self._gaps: list[Gap] = []
        self._drafted: list[int] = []  # by position in a draft
        self._accepted: list[int] = []
        self._rejections = 0
        self._peak: float | None = None

    def add(self, event: Event) -> None:
        match event:
            case Start():
                self._start = event
            case Prefill(done=0) if self._prefill is None:
                self._prefill = event.t_ns
            case Step() if event.tokens:
                self._step(event)
            case Chunk():
                self._chunk(event)
            case Served():
                self._served = event
            case Stop():
                self._stop = event
                if event.tail:
                    self._see(event.t_ns)
            case _:
                pass

    def metrics(self, now_ns: int | None = None) -> TurnMetrics:
        """`live` needs `now_ns` and a turn that still goes on."""
        local = self._local(now_ns)
        return served_metrics(local, self._served, self._pieces) if self._pieces else local

    def _local(self, now_ns: int | None) -> TurnMetrics:
        return TurnMetrics(
            start=self._start,
            stop=self._stop,
            prefill_ns=self._prefill,
            first_ns=self._times[0] if self._times else None,
            visible_ns=self._visible,
            last_ns=self._times[-1] if self._times else None,
            tokens=self._totals[-1] if self._totals else 0,
            first_tokens=self._totals[0] if self._totals else 0,
            passes=len(self._times),
            drafted=sum(self._drafted),
            accepted=sum(self._accepted),
            rejections=self._rejections,
            positions=tuple(map(Position, self._drafted, self._accepted)),
            gaps=tuple(self._gaps),
            live=None if now_ns is None or self._stop else self._live(now_ns),
            peak=self._peak,
        )

    def history(self, now_ns: int | None = None, bucket: int = SECOND // 2) -> list[float]:
        """Tokens/s in buckets of time from t1 on, as `decode_rate` counts them. While the turn goes
        on only whole buckets are told; at its end the last one takes what is left."""
        if not self._times:
            return []
        ended = now_ns is None or self._stop is not None
        first, last = self._times[0], self._times[-1] if ended else now_ns or 0
        bucket = max(bucket, (last - first) // BUCKETS)
        edges = list(range(first, last + 1, bucket))
        if ended and last > first:
            edges[max(1, len(edges) - 1) :] = [last]
        return [self._rate(begin, end) for begin, end in pairwise(edges)]

    def _step(self, step: Step) -> None:
        self._emitted(step.t_ns, len(step.tokens))
        if any(step.pieces):
            self._see(self._times[-1])
        self._draft(step)

    def _chunk(self, chunk: Chunk) -> None:
        if self._pieces:
            self._pieces[1] = chunk.t_ns
        else:
            self._pieces, self._along = [chunk.t_ns, chunk.t_ns], chunk.tokens is not None
        known = self._totals[-1] if self._totals else 0
        if self._along and chunk.tokens is not None and chunk.tokens > known:
            self._emitted(chunk.t_ns, chunk.tokens - known)
        if chunk.text:
            self._see(chunk.t_ns)

    def _emitted(self, t_ns: int, n: int) -> None:
        total = 0
        if self._times:
            last, total = self._times[-1], self._totals[-1]
            t_ns = max(t_ns, last)  # should a clock run backwards, no time passes
            self._gaps.append(Gap(t_ns - last, n))
        self._times.append(t_ns)
        self._totals.append(total + n)
        live = self._live(t_ns)
        if live is not None:
            self._peak = max(live, self._peak or 0.0)

    def _see(self, t_ns: int) -> None:
        if self._visible is None:
            self._visible = t_ns

    def _draft(self, step: Step) -> None:
        missing = step.drafted - len(self._drafted)
        self._drafted += [0] * missing
        self._accepted += [0] * missing
        for position in range(step.drafted):
            self._drafted[position] += 1
            self._accepted[position] += position < step.accepted
        # a draft that ends with a stop token is cut, not corrected: nothing follows what was kept
        self._rejections += step.accepted < step.drafted and len(step.tokens) > step.accepted

    def _live(self, now_ns: int) -> float | None:
        """Tokens/s in the window that ends now; before it is full it begins at t1, whose own step
        doesn't count. So the highest one is never below the mean over the turn."""
        if not self._times or now_ns <= self._times[0]:
            return None
        begin = max(now_ns - WINDOW, self._times[0])
        return self._rate(begin, now_ns)

    def _rate(self, begin: int, end: int) -> float:
        """Tokens/s after `begin` up to `end`; from t1 on, of all but the first step."""
        before = bisect_right(self._times, begin) if begin > self._times[0] else 1
        until = bisect_right(self._times, end)
        return (self._totals[until - 1] - self._totals[before - 1]) * SECOND / (end - begin)


def turn_metrics(events: Iterable[Event], now_ns: int | None = None) -> TurnMetrics:
    return _folded(events).metrics(now_ns)


def history(events: Iterable[Event], now_ns: int | None = None) -> list[float]:
    return _folded(events).history(now_ns)


def _folded(events: Iterable[Event]) -> Meter:
    meter = Meter()
    for event in events:
        meter.add(event)
    return meter
