"""`tokenhud kpi`: the KPIs with their conditions, what was measured, and whether it is enough."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines.events import EngineError
from ..engines.verdicts import Verdict, exit_status
from ..sessions import results
from ..sessions.clean import one_line

if TYPE_CHECKING:
    from ..engines.kpi_runs import Outcome

NAMES = tuple(results.KPI_FILES)


def report_kpis(
    names: Sequence[str], runs: int, warmup: int, as_json: bool, out: Path | None
) -> int:
    """Exit status: 0 all passed, were skipped or only warn, 1 one was missed, 3 an error."""
    unknown = [each for each in names if each not in NAMES]
    if unknown:
        raise EngineError(f"There is no KPI {unknown[0]}.", f"There are: {', '.join(NAMES)}.")
    outcomes = {}
    for name in names or NAMES:
        print(f"{name} ...", file=sys.stderr)
        outcomes[name] = _measured(name, runs, warmup)
    verdicts = [verdict for outcome in outcomes.values() for verdict in outcome.verdicts]
    print(json.dumps(as_records(verdicts), allow_nan=False) if as_json else table(verdicts))
    if out:
        for name, outcome in outcomes.items():
            if outcome.result is not None:
                file, record = results.KPI_FILES[name]
                path = results.write_new(out, file, record(outcome.result, results.origin()))
                print(f"written: {path}", file=sys.stderr)
    return exit_status({each.status for each in verdicts})


def _measured(name: str, runs: int, warmup: int) -> Outcome:
    from ..engines import kpi_runs  # here: torch takes seconds
    from ..kernels.bench.conditions import Effort

    if name == "bk":
        return kpi_runs.bk_kpi(Effort(runs, warmup))
    return kpi_runs.memory_kpi() if name == "memory" else kpi_runs.throughput_kpi()


def as_records(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "kpi": each.kpi.name,
            "condition": each.kpi.condition,
            "target": each.kpi.target,
            "measured": each.measured,
            "kpi_status": each.status,
            "reason": each.reason,
        }
        for each in verdicts
    ]


def table(verdicts: Sequence[Verdict]) -> str:
    return "\n".join(_line(each) for each in verdicts)


def _line(verdict: Verdict) -> str:
    kpi = verdict.kpi
    measured = "" if verdict.measured is None else kpi.shown(verdict.measured)
    told = "; ".join(filter(None, (kpi.condition, one_line(verdict.reason))))
    return f"{verdict.status:8} {kpi.name:17} {measured:>14}  {kpi.asked:14} {told}"
