"""The last message answered again by other methods on the same weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..engines.events import EngineError, Event, Loaded, Start, Step, Stop
from ..engines.options import Sampling, Spec
from .chat import Chat
from .metrics import turn_metrics
from .records import outside_trials
from .turns import TurnMetrics


@dataclass(frozen=True, slots=True)
class Attempt:
    """One trial that came to its end."""

    start: Start
    tokens: tuple[int, ...]
    margins: tuple[float, ...]
    steps: tuple[Step, ...]
    metrics: TurnMetrics
    loaded: Loaded | None = None  # where it loaded weights


class CancelledError(Exception):
    """The person cancelled; nothing more is to be tried."""


def attempt(
    chat: Chat, purpose: str, spec: Spec, sampling: Sampling, margins: bool = False
) -> Attempt:
    """Raises EngineError for what `spec` cannot do here, and CancelledError."""
    return attempted(chat.attempt(purpose, spec, sampling, margins))


def ended(trial: Iterable[Event]) -> list[Event]:
    """All events of a trial. Raises EngineError and CancelledError where it did not succeed."""
    events = list(trial)
    stop = events[-1] if events else None
    if not isinstance(stop, Stop) or stop.reason == "cancelled":
        raise CancelledError
    if stop.reason == "error":
        raise EngineError(stop.what, stop.remedy)
    return events


def attempted(trial: Iterable[Event]) -> Attempt:
    """Raises as `ended` does."""
    events = ended(trial)
    steps = tuple(each for each in events if isinstance(each, Step))
    start = next(each for each in events if isinstance(each, Start))
    return Attempt(
        start,
        tuple(token for step in steps for token in step.tokens),
        tuple(lead for step in steps for lead in step.margins),
        steps,
        turn_metrics(events),
        next((each for each in events if isinstance(each, Loaded)), None),
    )


def last_sampling(chat: Chat) -> Sampling:
    """How the last answer was picked, its seed included; the present settings where it is not
    known. A beam search drafts nothing, so a trial is one without."""
    records = outside_trials(chat.log.records)
    start = next((each for each in reversed(list(records)) if isinstance(each, Start)), None)
    sampling = start.sampling if start else replace(chat.sampling, seed=chat.sampling.seed or 0)
    return replace(sampling, num_beams=1)
