"""The turns of a chat as they stand, folded from its log bit by bit: a long one takes a while."""

from __future__ import annotations

from collections.abc import Sequence

from ..engines.events import Chunk, Event, Prefill, Served, Start, Step, Stop
from .methods import MethodTotals, by_method
from .metrics import Meter
from .records import Record, TrialGate, Turn, Undo
from .turns import TurnMetrics

AT_ONCE = 2_000  # records


class Entry:
    """One turn, and the steps that answered it."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.steps: list[Step] = []
        self.taken_back = False
        self.ended = False
        self._began = 0
        self._meter = Meter()
        self._metrics: TurnMetrics | None = None

    def add(self, event: Event) -> None:
        self._meter.add(event)
        self._metrics = None
        match event:
            case Start() | Prefill() if not self.steps:
                self._began = event.t_ns
            case Step() if event.tokens:
                self.steps.append(event)
            case Stop():
                self.ended = True
            case _:
                pass

    def metrics(self, now_ns: int | None = None) -> TurnMetrics:
        if not self.ended:
            return self._meter.metrics(now_ns)
        self._metrics = self._metrics or self._meter.metrics()
        return self._metrics

    def times(self) -> list[int]:
        """Nanoseconds of each step, its drafter's included; the first one has read the prompt."""
        ends = [step.t_ns for step in self.steps]
        return [max(end - begin, 0) for begin, end in zip([self._began, *ends], ends, strict=False)]


class TurnBook:
    """All turns of a log, those that were taken back too; trials are none."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.totals: list[MethodTotals] = []  # of turns that came to an end
        self.read = 0  # records
        self._gate = TrialGate()
        self._totalled = 0

    def catch_up(self, records: Sequence[Record], most: int = AT_ONCE) -> set[int]:
        """Reads at most so many of the new ones, and tells which entries they changed."""
        new = records[self.read : self.read + most]
        self.read += len(new)
        changed = {at for record in new if (at := self._add(record)) is not None}
        ended = [each for each in self.entries if each.ended]
        if len(ended) != self._totalled:
            self._totalled = len(ended)
            self.totals = by_method(each.metrics() for each in ended)
            changed = set(range(len(self.entries)))  # what they are compared with is another
        return changed

    def _add(self, record: Record) -> int | None:
        """Which entry it changed."""
        outside = self._gate.outside(record)
        match record:
            case Turn():
                self.entries.append(Entry(record))
            case Undo(turn_id):
                return self._take_back(turn_id)
            case Start() | Prefill() | Step() | Chunk() | Served() | Stop() if outside:
                if not self.entries or self.entries[-1].ended:  # a Stop of loading
                    return None
                self.entries[-1].add(record)
            case _:
                return None
        return len(self.entries) - 1

    def _take_back(self, turn_id: int) -> int | None:
        for at in reversed(range(len(self.entries))):
            if self.entries[at].turn.turn_id == turn_id:
                self.entries[at].taken_back = True
                return at
        return None
