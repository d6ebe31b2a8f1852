"""What a session's log holds: the engine's events, and what the person did between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..engines.events import (
    Chunk,
    Event,
    Loaded,
    Prefill,
    Preview,
    Progress,
    Scored,
    Served,
    Start,
    Step,
    Stop,
)
from ..engines.options import Sampling, Spec
from .bench.plan import Case, Plan

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """Line 1 of a log. Models follow as Loaded events: a session may swap them."""

    schema_version: int
    created: str  # ISO 8601 with zone, wall clock
    tokenhud_version: str
    environment: dict[str, Any]  # machine_info, packages; see sessions/machine.py
    spec: Spec  # as asked for; each Start has the effective one
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Turn:
    """The person sent `text`; the events up to the next Stop answer it."""

    turn_id: int  # 1, 2, ...
    text: str
    created: str  # wall clock


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of Spec or Sampling, or "system", was set; it applies from the next turn."""

    name: str
    value: str | int | float | None


@dataclass(frozen=True, slots=True)
class Undo:
    """The last turn left the conversation; its figures stay in the log."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class Clear:
    """The conversation starts afresh; settings stay."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A message is answered, or an answer judged, with other settings, beside the conversation;
    the events up to the next Stop are the trial's."""

    purpose: str  # "verify", "tune", "quant", or that of the plan
    turn_id: int | None  # of the last message; None where another one is answered
    swaps: bool = False  # loads weights of its own
    case: str = ""  # of the plan, as are:
    method: str = ""
    run: int = 0  # 1, 2, ...: which pass through all cases
    warmup: bool = False


Record = Header | Turn | Setting | Undo | Clear | Trial | Plan | Case | Event


def last_loaded(records: Sequence[Record]) -> Loaded | None:
    """Of the conversation and its trials."""
    return next((each for each in reversed(records) if isinstance(each, Loaded)), None)


class TrialGate:
    """Tells the events of trials from those of the conversation; sees the records in order."""

    def __init__(self) -> None:
        self._trial: Trial | None = None

    def outside(self, record: Record) -> bool:
        if isinstance(record, Trial | Turn):
            self._trial = record if isinstance(record, Trial) else None
            return self._trial is None
        outside = not (self._trial and _belongs(record, self._trial))
        if isinstance(record, Stop):
            self._trial = None
        return outside

    @property
    def inside(self) -> bool:
        return self._trial is not None


def _belongs(record: Record, trial: Trial) -> bool:
    """What is loaded for a trial on the weights in use serves the conversation too."""
    if isinstance(record, Progress | Loaded):
        return trial.swaps
    return isinstance(record, Start | Prefill | Step | Chunk | Served | Preview | Scored | Stop)


def outside_trials(records: Iterable[Record]) -> Iterator[Record]:
    """All that belongs to the conversation."""
    return filter(TrialGate().outside, records)
