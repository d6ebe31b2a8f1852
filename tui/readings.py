"""What the HUD and the line under an answer read off, folded from the records as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

from ..engines.events import (
    Chunk,
    Loaded,
    Prefill,
    Progress,
    Sample,
    Served,
    Start,
    Step,
    Stop,
)
from ..engines.options import Sampling, Spec, to_record
from ..sessions.costs import Costs, Measured, SessionCosts, measured_speedup
from ..sessions.metrics import Meter
from ..sessions.records import Record, Turn, outside_trials
from ..sessions.summary import session_metrics
from ..sessions.turns import SECOND, TurnMetrics


class Readings:
    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.progress: Progress | None = None  # while a model is loaded
        self.prefill: Prefill | None = None  # while a prompt is read
        self.start: Start | None = None  # of the last turn: the settings it used
        self.sample = Sample(0)
        self.meter = Meter()
        self.session_rate: float | None = None  # decode tokens/s over the measured turns
        self.session_acceptance: float | None = None
        self.measured = Measured()  # speed-up of the method that answered last
        self._costs = SessionCosts()
        self._turns: list[TurnMetrics] = []

    @classmethod
    def of(cls, records: Iterable[Record]) -> Readings:
        readings = cls()
        for record in outside_trials(records):
            readings.add(record)
        return readings

    def add(self, record: Record) -> None:
        match record:
            case Progress():
                self.progress = record
            case Loaded():
                self.loaded, self.progress = record, None
            case Sample():
                self.sample = record
            case Turn():
                self.meter = Meter()
            case Start() | Prefill() | Step() | Chunk() | Served() | Stop():
                self._follow(record)
            case _:
                pass

    @property
    def context(self) -> int | None:
        """Positions there are, from the turn that ran or the model that was loaded."""
        known = (self.start, self.loaded)
        return next((each.spec.context for each in known if each and each.spec.context), None)

    def used(self, turn: TurnMetrics) -> int | None:
        if turn.prompt_tokens is None or turn.completion_tokens is None:
            return None
        return turn.prompt_tokens + turn.completion_tokens

    def trend(self, now_ns: int) -> list[float]:
        """Tokens/s by half second, of the turn that runs or ran last."""
        return self.meter.history(now_ns, SECOND // 2)

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

    def _follow(self, event: Start | Prefill | Step | Chunk | Served | Stop) -> None:
        self.meter.add(event)
        self._costs.add(event)
        match event:
            case Start():
                self.start = event
            case Prefill():
                self.prefill = event if event.done < event.total else None
            case Step() | Chunk():
                self.prefill = None
            case Stop():
                self.prefill = self.progress = None
                self._turns.append(self.meter.metrics())
                whole = session_metrics(self._turns)
                self.session_rate, self.session_acceptance = whole.decode_rate, whole.acceptance
                if self.start:
                    self.measured = measured_speedup(self._turns, self.start.spec)


def _differing(used: Spec | Sampling, asked: Spec | Sampling) -> Iterator[str]:
    now = to_record(used)
    for each in fields(asked):
        wanted = getattr(asked, each.name)
        if wanted not in (None, "auto", now[each.name]):
            yield f"{each.name} {wanted}"
