"""`tokenhud bench`, `replay` and `compare`: experiments without a screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import get_terminal_size

from ...engines.events import EngineError
from ...engines.finishing import finished
from ...engines.options import Sampling, Spec
from ...engines.process import ProcessEngine
from ...sessions import figures
from ...sessions.bench.apart import Apart
from ...sessions.bench.asking import against, benchmark, replay_plan
from ...sessions.bench.comparison import Comparison
from ...sessions.bench.comparison import compare as compare_results
from ...sessions.bench.experiment import Doing, Told
from ...sessions.bench.folder import new_name
from ...sessions.bench.plan import Case, Plan, Value
from ...sessions.bench.result import Result, read_result
from ...sessions.bench.running import run_plan
from ...sessions.bench.runs import Run
from ...sessions.bench.written import Report
from ...sessions.clean import one_line
from ...sessions.places import is_there, list_sessions, results_folder, session_folder, session_path
from ...sessions.trials import CancelledError
from .experiment_words import doing, notice
from .plain import cancelled_by_interrupt, end_progress, progress, tell, until_reader_leaves

PASSED, FAILED = 0, 3
SEVERITY = (PASSED, 2, 1, FAILED)  # a regression is worse than not to know


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
    svg: bool = False


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
    out = asked.out or new_name("replay")
    statuses = []
    for number, file in enumerate(files, start=1):
        plan, cases, notes = replay_plan(_file(file), methods, asked.typed)
        if asked.system is not None:
            cases = tuple(replace(each, system=asked.system) for each in cases)
        for note in notes:
            tell(sys.stderr, note)
        own = out / f"{number}" if len(files) > 1 else out
        verdict: Callable[[Result], Comparison] | None = None
        if baseline:
            _require_shared(baseline, cases)
            verdict = against(baseline, judged.metric, judged.threshold)
        try:
            statuses.append(_run(plan, cases, own, asked, verdict))
        except CancelledError:
            return _interrupted(out)
    return max(statuses, key=SEVERITY.index)


def _require_shared(baseline: Result, cases: Sequence[Case]) -> None:
    """Raises EngineError before anything runs for nothing."""
    if not {each.name for each in cases if not each.skip} & set(baseline.case_names):
        raise EngineError(
            f"{one_line(baseline.name)} has none of this chat's turns.",
            "A baseline is an earlier replay of it, or its log.",
        )


def compare(
    reference: str, candidate: str, prompts: Sequence[str], judged: Judged, asked: Asked
) -> int:
    """Two results or logs, or two methods that are run here. Exit status as of `replay`."""
    sides = [_existing(each) for each in (reference, candidate)]
    if all(sides):
        there, here = (read_result(each) for each in sides if each)
        comparison = compare_results(here, there, judged.metric, judged.threshold)
        _print(Report(here, comparison), asked)
        return comparison.exit_status
    if any(sides):
        other = one_line(candidate if sides[0] else reference, 80)
        raise EngineError(
            f"There is no result, log or session {other}.",
            "Compare two of them, or two methods such as plain and suffix.",
        )
    plan, cases = benchmark(
        prompts, (), (reference, candidate), asked.spec, asked.sampling, asked.system
    )
    if len(plan.methods) != 2:
        raise EngineError(
            f"{reference} and {candidate} are {len(plan.methods)} methods.",
            "Compare two; `tokenhud bench -m` takes more.",
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
    folder = asked.out or new_name(plan.purpose)
    try:
        return _run(plan, cases, folder, asked, verdict)
    except CancelledError:
        return _interrupted(folder)


def _interrupted(folder: Path) -> int:
    tell(sys.stderr, f"Interrupted; the same command with --out {folder} goes on.")
    return FAILED


def _run(
    plan: Plan,
    cases: Sequence[Case],
    folder: Path,
    asked: Asked,
    verdict: Callable[[Result], Comparison] | None,
) -> int:
    """As `_shown`; raises CancelledError."""
    plan = replace(plan, runs=asked.runs, warmup=asked.warmup)
    engine = Apart(ProcessEngine)
    try:
        with cancelled_by_interrupt(engine):
            running = run_plan(engine, plan, cases, folder)
            found = finished(running, lambda told: _tell(told, plan))
    finally:
        end_progress(sys.stderr)
        engine.close()
    comparison = verdict(found) if verdict else None
    report = Report(found, comparison)
    paths = report.write(asked.svg)  # first: whoever reads what is printed may leave
    names = ", ".join(path.name for path in paths)
    tell(sys.stderr, f"Written to {one_line(str(paths[0].parent), 2000)}: {names}")
    status = comparison.exit_status if comparison else PASSED if found.measured else FAILED
    if not found.measured:
        tell(sys.stderr, "Nothing was measured: answers after a load are cold; --warmup 1 helps.")
    _print(report, asked)
    return status


def _print(report: Report, asked: Asked) -> None:
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    with until_reader_leaves():  # the exit status is the verdict's, whoever reads this
        if asked.as_json:
            print(report.as_json(), flush=True)
            return
        print(report.as_text(asked.full, width), flush=True)
        if asked.chart:
            print(f"\n{report.draw()}", flush=True)


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
        list_sessions(session_folder())  # raises where it may be there and can't be read
        raise EngineError(
            f"There is no log {one_line(text, 80)}.", "`tokenhud sessions` lists them."
        )
    return found


def _existing(text: str) -> Path | None:
    """A path, a session or kept results of this name."""
    if is_there(text):
        return Path(text).expanduser()
    try:
        named = session_path(text, session_folder())
    except EngineError:
        return None
    return next((each for each in (named, results_folder() / text) if is_there(str(each))), None)
