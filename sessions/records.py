"""What a session's log holds: the engine's events, and what the person did between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..engines.events import Event, Prefill, Preview, Start, Step, Stop
from ..engines.options import Sampling, Spec

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
    """The last message is answered again with other settings, beside the conversation; the events
    up to the next Stop are the trial's."""

    purpose: str  # "verify", "tune", "bench"
    turn_id: int


Record = Header | Turn | Setting | Undo | Clear | Trial | Event


class TrialGate:
    """Tells the events of trials from those of the conversation; sees the records in order."""

    def __init__(self) -> None:
        self._inside = False

    def outside(self, record: Record) -> bool:
        if isinstance(record, Trial | Turn):
            self._inside = isinstance(record, Trial)
            return not self._inside
        inside = self._inside and isinstance(record, Start | Prefill | Step | Preview | Stop)
        if isinstance(record, Stop):
            self._inside = False
        return not inside

    @property
    def inside(self) -> bool:
        return self._inside


def outside_trials(records: Iterable[Record]) -> Iterator[Record]:
    """All that belongs to the conversation."""
    return filter(TrialGate().outside, records)
