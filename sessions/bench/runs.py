"""The answers that a log holds: the runs of an experiment, or the turns of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ...engines.events import Chunk, Loaded, Progress, Sample, Step, Stop
from ..metrics import Meter
from ..records import Clear, Header, Record, Setting, Trial, Turn, Undo
from ..turns import TurnMetrics
from .plan import Case, Plan

RECORDED = "recorded"  # the method of a chat's own turns
NOT_EVENTS = Header | Turn | Setting | Undo | Clear | Trial | Plan | Case


@dataclass(frozen=True, slots=True)
class Run:
    """One answer, whether it came to its end or not."""

    case: str
    method: str
    number: int  # 1, 2, ...: which pass through all cases
    warmup: bool
    metrics: TurnMetrics
    tokens: tuple[int, ...]  # ids of the answer; () of a server's, which tells none
    text: str
    samples: tuple[Sample, ...] = ()  # of the machine, meanwhile

    @property
    def measured(self) -> bool:
        return self.metrics.finished and not self.warmup and not self.metrics.cold


@dataclass(slots=True)
class _Answer:
    case: str
    method: str
    number: int
    warmup: bool
    meter: Meter = field(default_factory=Meter)
    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def run(self) -> Run:
        return Run(
            self.case,
            self.method,
            self.number,
            self.warmup,
            self.meter.metrics(),
            tuple(self.tokens),
            "".join(self.pieces),
            tuple(self.samples),
        )


def runs(records: Iterable[Record]) -> Iterator[Run]:
    """Each at its Stop; one answer is held at a time. Turns of a chat are cases by their number,
    each answered once; trials beside a chat are none."""
    answer: _Answer | None = None
    for record in records:
        match record:
            case Trial():
                answer = _Answer(*_named(record)) if record.case else None
            case Turn():
                answer = _Answer(turn_case(record.turn_id), RECORDED, 1, False)
            case Stop() if answer:
                answer.meter.add(record)
                answer.pieces.append(record.tail)
                yield answer.run()
                answer = None
            case _ if answer:
                _add(answer, record)


def turn_case(turn_id: int) -> str:
    return f"turn {turn_id}"


def _named(trial: Trial) -> tuple[str, str, int, bool]:
    return trial.case, trial.method, trial.run, trial.warmup


def _add(answer: _Answer, record: Record) -> None:
    if isinstance(record, Sample):
        answer.samples.append(record)
    elif not isinstance(record, NOT_EVENTS | Loaded | Progress):
        answer.meter.add(record)
        if isinstance(record, Step):
            answer.tokens += record.tokens
            answer.pieces += record.pieces
        elif isinstance(record, Chunk):
            answer.pieces.append(record.text)
