"""A benchmark from its plan to its results: measured, watched, recorded, read back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...engines.events import Engine, EngineError, Sample
from ..chat import header
from ..machine import Poller, Sampler
from ..records import Record
from .experiment import Experiment, Told
from .folder import begin
from .plan import Case, Plan
from .result import Result, read_result

IDLE = 0.5  # seconds in which the load by others is taken before anything runs


def run_plan(
    engine: Engine, plan: Plan, cases: Sequence[Case], folder: Path, idle: float | None = None
) -> Generator[Told, None, Result]:
    """Runs what `folder` does not hold yet. Raises EngineError where nothing can be recorded, and
    CancelledError; what was measured until then stays, and the same call goes on from there."""
    idle = IDLE if idle is None else idle
    begun = begin(folder, lambda: header(plan.spec, plan.sampling), plan, cases)
    try:
        with _watched(engine, begun.recorder.append, idle):
            yield from Experiment(engine, plan, cases, begun.recorder.append, begun.finished).run()
    finally:
        begun.recorder.close()
    return read_result(begun.path)


@contextmanager
def _watched(engine: Engine, append: Callable[[Record], None], idle: float) -> Iterator[None]:
    """The machine is read once a second, and once before the first answer."""
    sampler = Sampler(engine.pid)
    sampler.sample(time.perf_counter_ns())
    threading.Event().wait(idle)
    append(sampler.sample(time.perf_counter_ns()))

    def observe(sample: Sample) -> None:
        sampler.pid = engine.pid  # another one after a restart
        with suppress(EngineError):  # the next event meets the same fault, and tells it
            append(sample)

    poller = Poller(sampler, observe)
    poller.start()
    try:
        yield
    finally:
        poller.stop()
