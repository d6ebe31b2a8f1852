"""What the HUD and the line under an answer read off, folded from the records as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

from ...engines.events import Chunk, Loaded, Prefill, Progress, Sample, Served, Start, Step, Stop
from ...engines.options import Sampling, Spec, to_record
from ...sessions.costs import Costs, Measured, SessionCosts
from ...sessions.methods import MethodTotals, by_method, decoded_by
from ...sessions.metrics import Meter
from ...sessions.records import Record, Trial, TrialGate, Turn
from ...sessions.turns import SECOND, TurnMetrics

DRAFTS = 64  # of an answer, whose shares are kept for a picture
LINGERS = 2 * SECOND  # after a trial, in which the next one may begin

Answering = Start | Prefill | Step | Chunk | Served | Stop


class Answer:
    """What is told of one answer as it comes, in the chat or in a trial."""

    def __init__(self, trial: Trial | None = None) -> None:
        self.trial = trial
        self.start: Start | None = None
        self.stop: Stop | None = None
        self.meter = Meter()
        self.kept: deque[float] = deque(maxlen=DRAFTS)  # of each draft, the share

    def add(self, event: Answering) -> None:
        self.meter.add(event)
        match event:
            case Start():
                self.start = event
            case Stop():
                self.stop = event
            case Step(drafted=drafted, accepted=accepted) if drafted:
                self.kept.append(accepted / drafted)
            case _:
                pass


class Readings:
    """Takes every record of a log in turn, or only those outside trials."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.progress: Progress | None = None  # while a model is loaded
        self.prefill: Prefill | None = None  # while a prompt is read
        self.start: Start | None = None  # of the last turn: the settings it used
        self.sample = Sample(0)
        self.answer = Answer()  # of the chat: the one that runs or ran last
        self.turns: list[TurnMetrics] = []  # that came to an end
        self._open = False  # a turn waits for its Stop
        self._trial: Answer | None = None
        self._gate = TrialGate()
        self._costs = SessionCosts()
        self._totals: list[MethodTotals] = []
        self._totalled = 0  # turns

    @classmethod
    def of(cls, records: Iterable[Record]) -> Readings:
        readings = cls()
        for record in records:
            readings.add(record)
        return readings

    def add(self, record: Record) -> None:
        if not self._gate.outside(record):
            self._try(record)
            return
        match record:
            case Progress():
                self.progress = record
            case Loaded():
                self.loaded, self.progress = record, None
            case Sample():
                self.sample = record
            case Turn():
                self.answer, self._trial, self._open = Answer(), None, True
            case Start() | Prefill() | Step() | Chunk() | Served() | Stop():
                self._follow(record)
            case _:
                pass

    def shown(self, now_ns: int) -> Answer:
        """What runs or ran last; of a trial until no other one follows it."""
        trial = self._trial
        if trial is None or trial.start is None:
            return self.answer
        over = trial.stop is not None and now_ns - trial.stop.t_ns > LINGERS
        return self.answer if over else trial

    @property
    def meter(self) -> Meter:
        return self.answer.meter

    @property
    def methods(self) -> list[MethodTotals]:
        if self._totalled != len(self.turns):
            self._totalled, self._totals = len(self.turns), by_method(self.turns)
        return self._totals

    @property
    def mine(self) -> MethodTotals | None:
        """Of the method that answers or answered last."""
        key = decoded_by(self.start) if self.start else ()
        return next((each for each in self.methods if each.key == key), None)

    @property
    def session_rate(self) -> float | None:
        """Decode tokens/s of that method over its measured turns."""
        return self.mine.metrics.decode_rate if self.mine else None

    @property
    def session_acceptance(self) -> float | None:
        return self.mine.metrics.acceptance if self.mine else None

    @property
    def measured(self) -> Measured:
        return self.mine.measured if self.mine else Measured()

    @property
    def context(self) -> int | None:
        """Positions there are, from the turn that ran or the model that was loaded."""
        known = (self.start, self.loaded)
        return next((each.spec.context for each in known if each and each.spec.context), None)

    def used(self, turn: TurnMetrics) -> int | None:
        if turn.prompt_tokens is None or turn.completion_tokens is None:
            return None
        return turn.prompt_tokens + turn.completion_tokens

    def spec(self, asked: Spec) -> Spec:
        """What is used, as the engine says; what was asked for until it says it."""
        known = self.start or self.loaded
        return known.spec if known else asked

    def sampling(self, asked: Sampling) -> Sampling:
        return self.start.sampling if self.start else asked

    def pending(self, spec: Spec, sampling: Sampling) -> list[str]:
        """Settings that differ from those in use; they apply from the next turn. Most of a server's
        are its own."""
        used = (self.spec(spec), self.sampling(sampling))
        if spec.url:
            spec = replace(used[0], url=spec.url)
        if sampling.num_beams > 1:  # drafts nothing, whatever the drafter
            spec = replace(spec, drafter=used[0].drafter)
        return [*_differing(used[0], spec), *_differing(used[1], sampling)]

    def costs(self) -> Costs:
        """Of the drafter that answers or answered last."""
        return self._costs.costs()

    def _follow(self, event: Answering) -> None:
        if isinstance(event, Stop):
            self.prefill = self.progress = None
        if not self._open:  # a Stop of loading
            return
        self.answer.add(event)
        self._costs.add(event)
        match event:
            case Start():
                self.start = event
            case Prefill():
                self.prefill = event if event.done < event.total else None
            case Step() | Chunk():
                self.prefill = None
            case Stop():
                self.turns.append(self.meter.metrics())
                self._open = False
            case _:
                pass

    def _try(self, record: Record) -> None:
        match record:
            case Trial():
                self._trial = Answer(record)
            case Start() | Prefill() | Step() | Chunk() | Served() | Stop() if self._trial:
                self._trial.add(record)
            case _:
                pass


def _differing(used: Spec | Sampling, asked: Spec | Sampling) -> Iterator[str]:
    now = to_record(used)
    for each in fields(asked):
        wanted = getattr(asked, each.name)
        if wanted not in (None, "auto", now[each.name]):
            yield f"{each.name} {wanted}"
