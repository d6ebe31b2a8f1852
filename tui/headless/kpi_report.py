"""`tokenhud kpi`: limits with their conditions, what was measured, and whether it is enough."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engines.events import EngineError
from ...engines.measured import Measured
from ...sessions import results
from ...sessions.bench.judging import Key, Verdict, exit_status, judge_all
from ...sessions.bench.limits import Limit, packaged_limits, read_limits, select
from ...sessions.bench.measurements import read_values, require_known
from ...sessions.clean import one_line
from ...sessions.writing import write_new

if TYPE_CHECKING:
    from ...engines.kpi_runs import Outcome

NAMES = tuple(results.KPI_FILES)  # of the runs that this command makes itself


def report_kpis(
    names: Sequence[str],
    runs: int,
    warmup: int,
    as_json: bool,
    out: Path | None,
    limits: Path | None = None,
    folder: Path | None = None,
) -> int:
    """Judges by the file `limits`, or the packaged one, what the `folder` of results holds, or
    else what is measured here. `names` are runs or metrics; all where none is given. Exit status:
    0 all passed, were skipped or only warn, 1 one was missed, 3 an error."""
    if folder and out:
        raise EngineError("With --results nothing is measured, so --out has nothing to keep.")
    known = read_limits(limits) if limits else packaged_limits()
    require_known(known)
    asked = _asked(known, names)
    outcomes = {} if folder else _outcomes(asked, runs, warmup)
    verdicts = judge_all(asked, read_values(folder) if folder else _values(outcomes))
    print(json.dumps(as_records(verdicts), allow_nan=False) if as_json else table(verdicts))
    if out:
        for name, outcome in outcomes.items():
            if outcome.result is not None:
                _keep(out, name, outcome.result, known)
    return exit_status({each.status for each in verdicts})


def _asked(known: Sequence[Limit], names: Sequence[str]) -> tuple[Limit, ...]:
    metrics = {each.metric: (each.metric,) for each in known}
    groups = metrics | {name: tuple(kept.metrics) for name, kept in results.KPI_FILES.items()}
    unknown = [each for each in names if each not in groups]
    if unknown:
        raise EngineError(
            f"There is no KPI {one_line(unknown[0])}.",
            f"There are: {', '.join((*NAMES, *metrics))}.",
        )
    return select(known, [metric for name in names for metric in groups[name]])


def _outcomes(asked: Sequence[Limit], runs: int, warmup: int) -> dict[str, Outcome]:
    """By the name of the run; those alone that measure something asked for."""
    metrics = {each.metric for each in asked}
    found = {}
    for name, kept in results.KPI_FILES.items():
        if metrics & kept.metrics.keys():
            print(f"{name} ...", file=sys.stderr)
            found[name] = _measured(name, runs, warmup)
    return found


def _measured(name: str, runs: int, warmup: int) -> Outcome:
    from ...engines import kpi_runs  # here: torch takes seconds
    from ...kernels.bench.conditions import Effort

    if name == "bk":
        return kpi_runs.bk_kpi(Effort(runs, warmup))
    return kpi_runs.memory_kpi() if name == "memory" else kpi_runs.throughput_kpi()


def _values(outcomes: Mapping[str, Outcome]) -> dict[Key, Measured]:
    return {
        Key(metric): found
        for outcome in outcomes.values()
        for metric, found in outcome.figures.items()
    }


def _keep(out: Path, name: str, result: Any, limits: Sequence[Limit]) -> None:
    """Its file, and that of the series by size, where there is one."""
    kept, origin = results.KPI_FILES[name], results.origin()
    records = {kept.name: kept.record(result, origin, limits)}
    if name in results.SCALING:
        from ...engines import kpi_runs

        print(f"{name} by size ...", file=sys.stderr)
        series = kpi_runs.memory_scaling if name == "memory" else kpi_runs.throughput_scaling
        file, record = results.SCALING[name]
        records[file] = record(series(), origin)
    for file, each in records.items():
        print(f"written: {write_new(out, file, each)}", file=sys.stderr)


def as_records(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "kpi": each.limit.name,
            "metric": each.limit.metric,
            "condition": each.limit.condition,
            "bound": each.limit.bound,
            "target": each.limit.target,
            "measured": each.measured,
            "kpi_status": each.status,
            "reason": each.reason,
        }
        for each in verdicts
    ]


def table(verdicts: Sequence[Verdict]) -> str:
    return "\n".join(_line(each) for each in verdicts)


def _line(verdict: Verdict) -> str:
    limit = verdict.limit
    measured = "" if verdict.measured is None else limit.shown(verdict.measured)
    told = one_line("; ".join(filter(None, (limit.condition, verdict.reason))))
    name, asked = one_line(limit.name, 40), one_line(limit.asked, 40)
    return f"{verdict.status:8} {name:17} {one_line(measured, 40):>14}  {asked:14} {told}"
