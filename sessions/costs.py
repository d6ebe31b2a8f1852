"""What speculation costs and gains by a session's own measurements. Absent is None, never 0."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from ..engines.drafting import made_from
from ..engines.events import Event, Start, Step
from ..engines.gamma import gain
from ..engines.options import WEIGHTS, Spec
from .summary import session_metrics
from .turns import TurnMetrics, ratio

ROLLING = 64  # drafted tokens of the rolling acceptance
MARGIN = 0.05  # by which speculation must be slower before it is said to lose
DRAFTS = 16  # before a prediction can say so
TOKENS = 64  # decoded on either side before a measurement can
PAIRS = 0.75  # of all pairs of a turn and a plain turn, in which the plain one must be faster
PLACE = tuple(name for name in WEIGHTS if name != "context")  # what decides how fast a pass is

Key = tuple[object, ...]


class Verification(NamedTuple):
    """The median time of the `n` passes that checked `drafted` tokens, in plain passes."""

    drafted: int
    cost: float
    n: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Of all steps but the first of each turn, which reads the prompt."""

    plain_ns: float | None = None  # median pass with nothing drafted
    c: float | None = None  # the drafter's median time for a drafted token, in plain passes
    v: tuple[Verification, ...] = ()  # by rising count; empty where plain_ns is absent
    drafts: int = 0  # steps that drafted
    predicted: float | None = None  # speed-up by c, v and what was kept
    at_best: float | None = None  # the same, had each draft kept two standard errors more
    rolling: float | None = None  # acceptance of the last ROLLING drafted tokens


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens/s of a method over those of plain decoding, or `why` there is none."""

    speedup: float | None = None
    why: str = ""
    slower: bool = False  # beyond noise


class CostMeter:
    """Folds the events of turns by one drafter on the same weights; `costs` may be asked for at
    any time."""

    def __init__(self) -> None:
        self._passes: dict[int, list[int]] = {}  # times by drafted tokens, sorted
        self._token: list[float] = []  # the drafter's times for a token, sorted
        self._drafts = self._drafted = self._kept = self._squares = 0
        self._last: deque[bool] = deque(maxlen=ROLLING)
        self._reads = True  # the next step has read a prompt

    def add(self, event: Event) -> None:
        match event:
            case Start():
                self._reads = True
            case Step() if event.tokens:
                self._last += [True] * event.accepted
                self._last += [False] * (event.drafted - event.accepted)
                if not self._reads and event.pass_ns is not None:
                    self._time(event, event.pass_ns)
                self._reads = False
            case _:
                pass

    def costs(self, plain_ns: float | None = None) -> Costs:
        """`plain_ns` serves where every step drafted."""
        own = self._passes.get(0)
        plain = _median(own) if own else plain_ns
        c = _median(self._token) / plain if plain and self._token else None
        v = self._verification(plain) if plain else ()
        return Costs(
            plain_ns=plain,
            c=c,
            v=v,
            drafts=self._drafts,
            predicted=self._predicted(c, v, self._kept),
            at_best=self._predicted(c, v, self._kept + 2.0 * self._deviation()),
            rolling=ratio(sum(self._last), len(self._last)),
        )

    def _time(self, step: Step, pass_ns: int) -> None:
        insort(self._passes.setdefault(step.drafted, []), pass_ns)
        if not step.drafted:
            return
        if step.draft_ns is not None:
            insort(self._token, step.draft_ns / step.drafted)
        self._drafts += 1
        self._drafted += step.drafted
        self._kept += step.accepted
        self._squares += step.accepted**2

    def _deviation(self) -> float:
        """Standard deviation of all that was kept, as a sum over the drafts."""
        n = self._drafts
        return sqrt(max(0.0, self._squares - self._kept**2 / n)) if n else 0.0

    def _verification(self, plain: float) -> tuple[Verification, ...]:
        passes = sorted(self._passes.items())
        return tuple(Verification(k, _median(times) / plain, len(times)) for k, times in passes)

    def _predicted(self, c: float | None, v: Sequence[Verification], kept: float) -> float | None:
        """Of a mean step; those that drafted nothing are steps too."""
        n = sum(each.n for each in v)
        cost = sum(each.cost * each.n for each in v)
        if c is None or not cost:
            return None
        return gain(min(kept, self._drafted) / n, self._drafted / n, c, cost / n)


class SessionCosts:
    """Folds the events of a session, each drafter on each place by itself."""

    def __init__(self) -> None:
        self._meters: dict[tuple[Key, Key], CostMeter] = {}
        self._meter = CostMeter()
        self._place: Key = ()

    def add(self, event: Event) -> None:
        if isinstance(event, Start) and event.sampling.num_beams == 1:
            self._place = place(event.spec)
            key = (made_from(event.spec), self._place)
            self._meter = self._meters.setdefault(key, CostMeter())
        elif isinstance(event, Start):
            self._meter = CostMeter()  # a beam search: its passes are of another kind
        self._meter.add(event)

    def costs(self) -> Costs:
        """Of the drafter that answered last; where it always drafted, plain turns of the session
        tell what a plain pass takes."""
        plain = self._meters.get((("plain",), self._place))
        return self._meter.costs(plain.costs().plain_ns if plain else None)


def costs(events: Iterable[Event], plain_ns: float | None = None) -> Costs:
    """Of turns that ran the same drafter on the same weights."""
    meter = CostMeter()
    for event in events:
        meter.add(event)
    return meter.costs(plain_ns)


def place(spec: Spec) -> Key:
    """All that must be equal for two rates to be compared."""
    return tuple(getattr(spec, name) for name in PLACE)


def method(spec: Spec) -> Key:
    """All that makes one way to decode: the drafter and how much it drafts."""
    if spec.drafter == "plain":
        return ("plain",)
    length = () if spec.gamma_policy == "auto" else (spec.gamma,)
    return *made_from(spec), spec.gamma_policy, *length


def measured_speedup(turns: Iterable[TurnMetrics], spec: Spec) -> Measured:
    """Of the method of `spec` in its place: the sum of tokens over the sum of times of its turns,
    over that of plain turns. Only turns that came to their end and weren't cold count. Sampling
    may differ, since plain decoding takes as long with any; a beam search is not plain."""
    if spec.drafter == "plain":
        return Measured(why="plain decoding is what others are measured against")
    here = [each for each in turns if _counts(each) and _place(each) == place(spec)]
    mine = [each for each in here if _method(each) == method(spec)]
    plain = [each for each in here if _method(each) == ("plain",)]
    if not plain:
        return Measured(why="no plain answer in this chat yet: /autoregressive makes one")
    if not mine:
        return Measured(why="no whole answer with these settings yet")
    speedup = _rate(mine) / _rate(plain)
    return Measured(speedup, slower=speedup < 1 - MARGIN and _surely_slower(mine, plain))


def loses(costs: Costs, measured: Measured | None = None) -> bool:
    """Speculation is slower than plain decoding, beyond noise. Either whole answers say so: by
    more than MARGIN, over TOKENS on both sides, and in PAIRS of all pairs of turns. Or the steps
    do: over DRAFTS drafts, even two standard errors more of kept tokens would lose MARGIN."""
    steps = costs.at_best is not None and costs.drafts >= DRAFTS and costs.at_best < 1 - MARGIN
    return steps or (measured is not None and measured.slower)


def _counts(turn: TurnMetrics) -> bool:
    beams = turn.start.sampling.num_beams if turn.start else 0
    return turn.finished and not turn.cold and beams == 1 and turn.decode_rate is not None


def _place(turn: TurnMetrics) -> Key:
    return place(turn.start.spec) if turn.start else ()


def _method(turn: TurnMetrics) -> Key:
    return method(turn.start.spec) if turn.start else ()


def _rate(turns: Iterable[TurnMetrics]) -> float:
    return session_metrics(turns).decode_rate or 0.0


def _surely_slower(mine: Sequence[TurnMetrics], plain: Sequence[TurnMetrics]) -> bool:
    enough = all(sum(each.decode_tokens for each in side) >= TOKENS for side in (mine, plain))
    slower = [(a.decode_rate or 0.0) < (b.decode_rate or 0.0) for a in mine for b in plain]
    return enough and sum(slower) >= PAIRS * len(slower)


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
