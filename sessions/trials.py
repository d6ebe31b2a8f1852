"""The last message answered again by other methods on the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..engines.events import EngineError, Start, Step, Stop
from ..engines.options import Sampling, Spec
from .chat import Chat
from .metrics import turn_metrics
from .turns import TurnMetrics


@dataclass(frozen=True, slots=True)
class Attempt:
    """One trial that came to its end."""

    start: Start
    tokens: tuple[int, ...]
    margins: tuple[float, ...]
    steps: tuple[Step, ...]
    metrics: TurnMetrics


class CancelledError(Exception):
    """The person cancelled; nothing more is to be tried."""


def attempt(
    chat: Chat, purpose: str, spec: Spec, sampling: Sampling, margins: bool = False
) -> Attempt:
    """Raises EngineError for what `spec` cannot do here, and CancelledError."""
    events = list(chat.attempt(purpose, spec, sampling, margins))
    stop = events[-1] if events else None
    if not isinstance(stop, Stop) or stop.reason == "cancelled":
        raise CancelledError
    if stop.reason == "error":
        raise EngineError(stop.what, stop.remedy)
    steps = tuple(each for each in events if isinstance(each, Step))
    start = next(each for each in events if isinstance(each, Start))
    return Attempt(
        start,
        tuple(token for step in steps for token in step.tokens),
        tuple(lead for step in steps for lead in step.margins),
        steps,
        turn_metrics(events),
    )


def last_sampling(chat: Chat) -> Sampling:
    """How the last answer was picked, its seed included; the present settings where it is not
    known. A beam search drafts nothing, so a trial is one without."""
    starts = (each for each in reversed(chat.log.records) if isinstance(each, Start))
    start = next(starts, None)
    sampling = start.sampling if start else replace(chat.sampling, seed=chat.sampling.seed or 0)
    return replace(sampling, num_beams=1)
