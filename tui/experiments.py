"""`tokenhud bench`, `replay` and `compare`: experiments without a screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import get_terminal_size

from ..engines.events import EngineError
from ..engines.options import Sampling, Spec
from ..engines.process import ProcessEngine
from ..sessions import figures
from ..sessions.bench.apart import Apart
from ..sessions.bench.asking import against, benchmark, replay_plan
from ..sessions.bench.comparison import Comparison
from ..sessions.bench.comparison import compare as compare_results
from ..sessions.bench.experiment import Doing, Told
from ..sessions.bench.folder import new_name
from ..sessions.bench.plan import Case, Plan, Value
from ..sessions.bench.result import Result, read_result
from ..sessions.bench.running import run_plan
from ..sessions.bench.runs import Run
from ..sessions.bench.written import as_json, as_text, draw, write
from ..sessions.clean import one_line
from ..sessions.places import session_folder, session_path
from ..sessions.trials import CancelledError
from .experiment_words import doing, notice
from .plain import cancelled_by_interrupt, progress, tell

PASSED, INTERRUPTED = 0, 3


@dataclass(frozen=True, slots=True)
class Asked:
    """How an experiment runs, as typed."""

    spec: Spec
    sampling: Sampling
    typed: dict[str, Value]  # of these options
    system: str | None
    runs: int
    warmup: int
    out: Path | None
    as_json: bool
    full: bool  # every table
    chart: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What a verdict is about."""

    baseline: str | None
    metric: str
    threshold: float


def bench(
    prompts: Sequence[str], exact: Sequence[tuple[int, int]], methods: Sequence[str], asked: Asked
) -> int:
    """Exit status: 0, or 3 where it was interrupted. Raises EngineError."""
    plan, cases = benchmark(prompts, exact, methods, asked.spec, asked.sampling, asked.system)
    return _shown(plan, cases, asked)


def sweep(
    name: str,
    values: str,
    prompts: Sequence[str],
    exact: Sequence[tuple[int, int]],
    methods: Sequence[str],
    asked: Asked,
) -> int:
    """As `bench`, a method for each value."""
    plan, cases = benchmark(
        prompts, exact, methods, asked.spec, asked.sampling, asked.system, (name, values)
    )
    return _shown(plan, cases, asked)


def replay(files: Sequence[str], methods: Sequence[str], judged: Judged, asked: Asked) -> int:
    """Exit status: 0 passed or nothing was judged, 1 a regression, 2 inconclusive, 3 interrupted
    or not comparable, the worst of all files. Raises EngineError."""
    baseline = read_result(_file(judged.baseline)) if judged.baseline else None
    status = PASSED
    for number, file in enumerate(files, start=1):
        plan, cases, notes = replay_plan(_file(file), methods, asked.typed)
        for note in notes:
            tell(sys.stderr, note)
        out = asked.out / f"{number}" if asked.out and len(files) > 1 else asked.out
        verdict: Callable[[Result], Comparison] | None = None
        if baseline:
            verdict = against(baseline, judged.metric, judged.threshold)
        status = max(status, _shown(plan, cases, replace(asked, out=out), verdict))
    return status


def compare(
    reference: str, candidate: str, prompts: Sequence[str], judged: Judged, asked: Asked
) -> int:
    """Two results or logs, or two methods that are run here. Exit status as of `replay`."""
    sides = [_existing(each) for each in (reference, candidate)]
    if all(sides):
        there, here = (read_result(each) for each in sides if each)
        comparison = compare_results(here, there, judged.metric, judged.threshold)
        _print(here, comparison, asked)
        return comparison.exit_status
    if any(sides):
        raise EngineError(
            f"{reference} and {candidate} are not of one kind.",
            "Compare two results or logs, or two methods such as plain and suffix.",
        )
    plan, cases = benchmark(
        prompts, (), (reference, candidate), asked.spec, asked.sampling, asked.system
    )

    def verdict(found: Result) -> Comparison:
        first, second = (each.name for each in plan.methods)
        return compare_results(found, found, judged.metric, judged.threshold, second, first)

    return _shown(replace(plan, purpose="compare"), cases, asked, verdict)


def _shown(
    plan: Plan,
    cases: Sequence[Case],
    asked: Asked,
    verdict: Callable[[Result], Comparison] | None = None,
) -> int:
    """Runs, writes and prints; returns the exit status."""
    plan = replace(plan, runs=asked.runs, warmup=asked.warmup)
    folder = asked.out or new_name(plan.purpose)
    engine = Apart(ProcessEngine)
    try:
        with cancelled_by_interrupt(engine):
            found = _told(run_plan(engine, plan, cases, folder), plan)
    except CancelledError:
        tell(sys.stderr, f"Interrupted; the same command with --out {folder} goes on.")
        return INTERRUPTED
    finally:
        engine.close()
    comparison = verdict(found) if verdict else None
    _print(found, comparison, asked)
    paths = write(found, comparison)
    names = ", ".join(path.name for path in paths)
    tell(sys.stderr, f"Written to {one_line(str(paths[0].parent), 2000)}: {names}")
    return comparison.exit_status if comparison else PASSED


def _print(found: Result, comparison: Comparison | None, asked: Asked) -> None:
    if asked.as_json:
        print(as_json(found, comparison))
        return
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    print(as_text(found, comparison, asked.full, width))
    if asked.chart:
        print(f"\n{draw(found)}")


def _told(steps: Generator[Told, None, Result], plan: Plan) -> Result:
    while True:
        try:
            told = next(steps)
        except StopIteration as done:
            found: Result = done.value
            return found
        _tell(told, plan)


def _tell(told: Told, plan: Plan) -> None:
    if isinstance(told, Doing):
        progress(doing(told), sys.stderr)
    elif isinstance(told, Run) and not sys.stderr.isatty():
        number = "warm-up" if told.warmup else f"run {told.number}"
        rate = figures.rate(told.metrics.decode_rate)
        tell(sys.stderr, f"{told.method} · {told.case} · {number} · {rate} tok/s")
    tell(sys.stderr, notice(told, plan))


def _file(text: str) -> Path:
    """A path, or the session of this name. Raises EngineError where there is none."""
    found = _existing(text)
    if found is None:
        raise EngineError(
            f"There is no log {one_line(text, 80)}.", "`tokenhud sessions` lists them."
        )
    return found


def _existing(text: str) -> Path | None:
    path = Path(text).expanduser()
    if path.exists():
        return path
    try:
        named = session_path(text, session_folder())
    except EngineError:
        return None
    return named if named.exists() else None
