"""What a saved log tells, gathered while it streams past: never more than one turn in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engines.events import Event, Loaded, Model, Stop
from ..engines.options import OptionError, Sampling, Spec
from .conversation import Conversation
from .metrics import Meter
from .reading import Problem
from .records import Header, Record, Setting, TrialGate, Turn, Undo, outside_trials
from .turns import TurnMetrics

PROBLEMS_KEPT = 20


class SavedTurn(NamedTuple):
    """What the person sent, what came back, and what it cost."""

    turn: Turn
    answer: str
    metrics: TurnMetrics


@dataclass(slots=True)
class About:
    """What a log says besides its turns; whole once `noted` has been read to its end."""

    header: Header | None = None  # the first
    model: Model | None = None  # the last that was loaded for the conversation
    undone: list[int] = field(default_factory=list)  # turns that left the conversation
    problems: list[Problem] = field(default_factory=list)  # the first PROBLEMS_KEPT ...
    faults: int = 0  # ... of so many
    _told: Conversation = field(default_factory=lambda: _nothing_said())
    _gate: TrialGate = field(default_factory=TrialGate)

    @property
    def spec(self) -> Spec:
        """As last asked for."""
        return self._told.spec

    @property
    def sampling(self) -> Sampling:
        return self._told.sampling

    @property
    def system(self) -> str | None:
        return self._told.system

    def noted(self, items: Iterable[Record | Problem]) -> Iterator[Record]:
        """The records among `items`, once they are noted."""
        for item in items:
            if isinstance(item, Problem):
                self.faults += 1
                self.problems += [item] if self.faults <= PROBLEMS_KEPT else []
                continue
            if self._gate.outside(item):
                self._note(item)
            yield item

    def _note(self, record: Record) -> None:
        match record:
            case Header() | Setting():
                with suppress(OptionError):
                    self._told.apply(record)
                if isinstance(record, Header):
                    self.header = self.header or record
            case Loaded(model=model):
                self.model = model
            case Undo(turn_id=turn_id):
                self.undone.append(turn_id)
            case _:
                pass


def saved_turns(records: Iterable[Record]) -> Iterator[SavedTurn]:
    """Every turn, undone ones too; trials belong to none."""
    turn: Turn | None = None
    told, meter, answering = _nothing_said(), Meter(), False
    for record in outside_trials(records):
        if isinstance(record, Turn):
            if turn:
                yield SavedTurn(turn, told.exchanges[-1].answer, meter.metrics())
            turn, told, meter, answering = record, _nothing_said(), Meter(), True
            told.apply(record)
        elif answering and isinstance(record, Event):
            meter.add(record)
            told.apply(record)
            answering = not isinstance(record, Stop)
    if turn:
        yield SavedTurn(turn, told.exchanges[-1].answer, meter.metrics())


def _nothing_said() -> Conversation:
    return Conversation(Spec(), Sampling())
