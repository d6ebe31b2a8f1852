"""Jobs of commands, so that an interrupt ends them wherever they are."""

from __future__ import annotations

import threading
from collections.abc import Generator

from ...sessions.trials import CancelledError
from .grammar import Told

CANCELLED = "Cancelled"  # so begins what a job says that was cancelled


def interruptible(job: Told, interrupt: threading.Event) -> Told:
    """What `job` says. An engine that is cancelled ends a job by itself; where none is at work,
    CancelledError is raised in the job at its next Progress or Live."""
    while True:
        try:
            told = next(job)
            if interrupt.is_set() and not isinstance(told, str) and isinstance(job, Generator):
                interrupt.clear()
                told = job.throw(CancelledError())
        except (StopIteration, CancelledError):
            return
        if isinstance(told, str) and told.startswith(CANCELLED):
            interrupt.clear()
        yield told
