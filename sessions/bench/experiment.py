"""Runs a plan: every case by every method, in turns, so that a machine that changes treats all
methods alike."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...engines.events import Engine, Event, Request, Stop
from ...engines.options import OptionError, Sampling, Spec
from ...engines.remote_kinds import LAUNCH
from ..records import Record, Trial
from ..trials import CancelledError
from .apart import Apart
from .plan import Case, Method, Plan, messages, options, weights
from .runs import Run, runs

TRIES = 2  # of a case by a method, before it is given up
Pass = tuple[str, int]  # a method by its name, and which pass through all cases


@dataclass(frozen=True, slots=True)
class Doing:
    """What runs next, and how far the experiment is."""

    method: str
    case: str
    done: int  # answers
    total: int
    left: float | None  # seconds, by what the answers so far took


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A case that a method can't answer here, and why."""

    method: str
    case: str
    why: str


Told = Doing | LeftOut | Run | Event


@dataclass(slots=True)
class Experiment:
    """`record` keeps all that happens; what came to an end before is not run again. Iterate `run`
    once. It raises CancelledError where the person cancels. What fails is tried TRIES times. Only
    an Apart engine keeps the weights of this machine while a server answers."""

    engine: Engine
    plan: Plan
    cases: Sequence[Case]
    record: Callable[[Record], None]
    finished: Collection[Pass] = ()
    clock: Callable[[], int] = time.perf_counter_ns
    _failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    _impossible: set[tuple[str, str]] = field(default_factory=set)
    _loaded: dict[str, tuple[object, ...]] = field(default_factory=dict)  # weights, by slot
    _done: int = 0
    _extra: int = 0
    _took: list[int] = field(default_factory=list)

    def run(self) -> Iterator[Told]:
        for method in self._unfinished():
            for _ in range(self.plan.warmup):
                yield from self._pass(method, 0)
        for number in range(1, self.plan.runs + 1):
            methods = self.plan.methods if number % 2 else self.plan.methods[::-1]
            for method in methods:
                if (method.name, number) not in self.finished:
                    yield from self._pass(method, number)

    def _unfinished(self) -> list[Method]:
        numbers = range(1, self.plan.runs + 1)
        return [
            each
            for each in self.plan.methods
            if any((each.name, number) not in self.finished for number in numbers)
        ]

    def _pass(self, method: Method, number: int) -> Iterator[Told]:
        """All cases in their order, as one chat: what a case shares with the one before it is held,
        as it was when a person chatted."""
        fresh = True
        for at, case in enumerate(self.cases):
            if case.skip or (method.name, case.name) in self._impossible:
                continue
            fresh = fresh or case.after is None
            yield self._doing(method, case)
            if self._is_other(method, case) and number:
                self._extra += 1
                yield from self._answer(method, at, 0, True)  # after a load, no measurement
                fresh = True
                if (method.name, case.name) in self._impossible:
                    continue
            yield from self._answer(method, at, number, fresh)
            fresh = False

    def _is_other(self, method: Method, case: Case) -> bool:
        """Other weights than those that answered last."""
        try:
            spec, _ = options(self.plan, case, method)
        except OptionError:
            return False  # told by the answer
        return self._loaded.get(self._slot(spec), weights(spec)) != weights(spec)

    def _slot(self, spec: Spec) -> str:
        return spec.url if isinstance(self.engine, Apart) else ""

    def _answer(self, method: Method, at: int, number: int, fresh: bool) -> Iterator[Told]:
        case = self.cases[at]
        began = self.clock()
        trial = Trial(self.plan.purpose, None, True, case.name, method.name, number, not number)
        kept: list[Record] = [trial]
        self.record(trial)
        for event in self._events(method, at, fresh):
            self.record(event)
            kept.append(event)
            yield event
        self._took.append(self.clock() - began)
        self._done += 1
        yield from self._outcome(kept)

    def _events(self, method: Method, at: int, fresh: bool) -> Iterator[Event]:
        case = self.cases[at]
        try:
            spec, sampling = _possible(self.plan, case, method)
        except OptionError as error:
            self._impossible.add((method.name, case.name))
            yield Stop(self.clock(), "error", what=str(error), remedy="Change the method.")
            return
        for event in self._loading(spec):
            yield event
            if isinstance(event, Stop):
                return
        said = messages(self.cases, at)
        yield from self.engine.stream(Request(said, spec, sampling, exact=case.exact, fresh=fresh))

    def _loading(self, spec: Spec) -> Iterator[Event]:
        """An engine tells by itself only once what it has loaded, which may have been before; the
        log must name the weights that answer."""
        if self._loaded.get(self._slot(spec)) != weights(spec):
            self._loaded[self._slot(spec)] = weights(spec)
            yield from self.engine.load(spec)

    def _outcome(self, kept: list[Record]) -> Iterator[Told]:
        stop = kept[-1]
        if not isinstance(stop, Stop) or stop.reason == "cancelled":
            raise CancelledError
        (run,) = runs(kept)
        if stop.reason == "error":
            self._failed[run.method, run.case] += 1
            if self._failed[run.method, run.case] >= TRIES:
                self._impossible.add((run.method, run.case))
            yield LeftOut(run.method, run.case, f"{stop.what} {stop.remedy}".rstrip())
        yield run

    def _doing(self, method: Method, case: Case) -> Doing:
        total = self._total()
        mean = sum(self._took) / len(self._took) if self._took else None
        left = None if mean is None else mean * max(0, total - self._done) / 1e9
        return Doing(method.name, case.name, self._done, total, left)

    def _total(self) -> int:
        """Answers of this sitting, warm-ups between loads as they come."""
        cases = sum(not each.skip for each in self.cases)
        left = len(self.plan.methods) * self.plan.runs - len(self.finished)
        return self._extra + cases * (left + self.plan.warmup * len(self._unfinished()))


def _possible(plan: Plan, case: Case, method: Method) -> tuple[Spec, Sampling]:
    """As `options`; raises OptionError also for a method that a running server cannot become."""
    spec, sampling = options(plan, case, method)
    asked = [
        each
        for each in LAUNCH
        if each in method.changes and getattr(spec, each) != getattr(Spec(), each)
    ]
    if spec.url and asked:
        raise OptionError(f"A server decides this when it starts: {', '.join(asked)}.")
    return spec, sampling


def finished_passes(plan: Plan, cases: Sequence[Case], found: Iterable[Run]) -> set[Pass]:
    """The passes in which every case came to its end, or was given up."""
    wanted = {each.name for each in cases if not each.skip}
    ended: dict[Pass, set[str]] = {}
    failed: Counter[tuple[str, str]] = Counter()
    for run in found:
        if run.metrics.reason == "error":
            failed[run.method, run.case] += 1
        if not run.warmup and run.metrics.finished:
            ended.setdefault((run.method, run.number), set()).add(run.case)
    given_up = {key for key, times in failed.items() if times >= TRIES}
    return {
        (method.name, number)
        for method in plan.methods
        for number in range(1, plan.runs + 1)
        if all(
            case in ended.get((method.name, number), ()) or (method.name, case) in given_up
            for case in wanted
        )
    }
