"""An experiment on the model in use, as a job of the chat: a table that fills, then the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.events import EngineError, Progress
from ...engines.options import OptionError
from ...sessions import figures
from ...sessions.bench.asking import Experimental
from ...sessions.bench.experiment import Doing, LeftOut
from ...sessions.bench.folder import new_name
from ...sessions.bench.growing import Growing
from ...sessions.bench.plan import Case, Plan, options, weights
from ...sessions.bench.result import Result
from ...sessions.bench.running import run_plan
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.trials import CancelledError
from ..headless.experiment_words import doing, notice
from ..headless.standings import standings
from .grammar import Live, Reply, Said, Told
from .jobs import CANCELLED
from .trial import told

if TYPE_CHECKING:
    from ...sessions.bench.written import Report

RUNS, WARMUP = 3, 1  # a person waits
Planned = Callable[[], tuple[Experimental, int]]  # with the passes through all cases
Ending = Callable[[Result], Generator[Said, None, "Report"]]  # tells a result, to be kept so


def experiment(chat: Chat, planned: Planned, ending: Ending) -> Reply:
    """The plan is made at once, so that what is mistyped is told before anything runs."""
    try:
        (plan, cases), runs = planned()
    except EngineError as error:
        return Reply(str(error), ok=False)
    plan = replace(plan, runs=runs, warmup=WARMUP)
    return Reply("", job=lambda: told(_ran(chat, plan, cases, ending)))


def _ran(chat: Chat, plan: Plan, cases: Sequence[Case], ending: Ending) -> Told:
    yield _begin(plan, cases)
    folder = new_name(plan.purpose)
    try:
        found = yield from _measured(chat, plan, cases, folder)
    except CancelledError:
        yield f"{CANCELLED}; what was measured is kept in {one_line(str(folder))}"
        return
    finally:
        yield from _reloaded(chat, plan, cases)
    report = yield from ending(found)
    yield f"Kept in {one_line(str(report.write()[0].parent))}"


def _measured(
    chat: Chat, plan: Plan, cases: Sequence[Case], folder: Path
) -> Generator[Said, None, Result]:
    running = run_plan(chat.engine, plan, cases, folder)
    growing = Growing(plan, cases)
    title = "So far"
    while True:
        try:
            step = next(running)
        except StopIteration as done:
            found: Result = done.value
            return found
        if isinstance(step, Doing):
            title = f"So far, {step.done + 1} of {step.total} answers"
            yield doing(step)
        elif not isinstance(step, LeftOut) and (sentence := notice(step, plan)):
            yield sentence
        if growing.take(step):
            yield Live(standings(growing.result, title))


def _reloaded(chat: Chat, plan: Plan, cases: Sequence[Case]) -> Iterator[Said]:
    """Makes ready what the chat uses, where something else was loaded."""
    try:
        used = {weights(options(plan, case, each)[0]) for case in cases for each in plan.methods}
    except OptionError:  # told by the answer
        used = set()
    if used != {weights(chat.spec)}:
        yield from (each for each in chat.load() if isinstance(each, Progress))


def _begin(plan: Plan, cases: Sequence[Case]) -> str:
    prompts = figures.counted(sum(not each.skip for each in cases), "prompt")
    ways = figures.counted(len(plan.methods), "method")
    passes = f"{plan.runs} times in turns" if plan.runs > 1 else "once"
    return f"{prompts} by {ways}, {passes} after a warm-up. Esc or Ctrl+C ends it."
