"""The four KPIs: what each asks for, and whether a measurement meets it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..kernels.bench.conditions import CLOSER, FASTER

PASS, WARN, FAIL, SKIPPED, ERROR = "PASS", "WARN", "FAIL", "SKIPPED", "ERROR"


class Kpi(NamedTuple):
    name: str
    condition: str
    target: float
    at_least: bool  # else what is measured must lie below the target
    unit: str
    form: str  # of its numbers, as the source documents write them
    missed: str = FAIL

    def shown(self, value: float | None) -> str:
        return "–" if value is None else f"{value:{self.form}}{self.unit}"

    @property
    def asked(self) -> str:
        return f"{'≥' if self.at_least else '<'} {self.shown(self.target)}"


BK_SPEED = Kpi("BK-Core speed-up", "batch 16, N 4096, over a torch scan", FASTER, True, "×", ".2f")
BK_ERROR = Kpi("BK-Core MSE", "batch 16, N 4096, against float64", CLOSER, False, "", ".2e")
MEMORY = Kpi("peak memory", "batch 1, sequence 4096, float16", 8.0, False, " GB", ".2f")
THROUGHPUT = Kpi(
    "throughput", "batch 4, sequence 512, float16, 20 passes", 100.0, True, " tok/s", ".1f", WARN
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`measured` is None where nothing was, for which `reason` is why; else it adds to it."""

    kpi: Kpi
    status: str
    measured: float | None
    reason: str = ""


def judge(kpi: Kpi, measured: float | None, reason: str = "") -> Verdict:
    """A number that is none, as of results without a finite value, meets no target."""
    value = math.nan if measured is None else measured
    met = value >= kpi.target if kpi.at_least else value < kpi.target
    known = value if math.isfinite(value) else None
    return Verdict(kpi, PASS if met else kpi.missed, known, reason)


def exit_status(statuses: set[str]) -> int:
    """0 passed, skipped or a warning; 1 missed; 3 could not be measured for an error."""
    return 3 if ERROR in statuses else 1 if FAIL in statuses else 0
