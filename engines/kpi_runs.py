"""Runs the KPIs under their conditions; what cannot run here is skipped with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..kernels.bench.bk_core import BkBenchmark, benchmark_bk_core
from ..kernels.bench.conditions import Effort
from ..kernels.bench.fitting import Size, fitting, told
from ..kernels.bench.place import CHECK_ONLY, NO_GPU, place
from .kpi import GB, Memory, Throughput, measure_memory, measure_throughput
from .random_model import random_model
from .verdicts import (
    BK_ERROR,
    BK_SPEED,
    ERROR,
    FAIL,
    MEMORY,
    SKIPPED,
    THROUGHPUT,
    Kpi,
    Verdict,
    judge,
)

NO_MEMORY = "The device has no memory for it in any size"
BK_SIZE, MEMORY_SIZE, THROUGHPUT_SIZE = Size(16, 4096), Size(1, 4096), Size(4, 512)
ITERATIONS = 20
DTYPE = torch.float16

Result = TypeVar("Result", BkBenchmark, Memory, Throughput)
Values = Callable[[Result], Sequence[tuple[float | None, str]]]  # measured, and what to say of it


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is under the KPI's condition; None where it did not run or not at that size."""

    verdicts: tuple[Verdict, ...]
    result: BkBenchmark | Memory | Throughput | None = None


def bk_kpi(effort: Effort) -> Outcome:
    where, kpis = place(), (BK_SPEED, BK_ERROR)
    if not where.compiled:
        return _all(kpis, SKIPPED, where.skipped or CHECK_ONLY)

    def values(found: BkBenchmark) -> Sequence[tuple[float | None, str]]:
        serial = f"{found.speedup_serial or 0:,.1f}× the serial loop"
        return (found.speedup, serial), (found.mse, found.told)

    return _outcome(
        kpis, lambda size: benchmark_bk_core(*size, *effort, where=where), BK_SIZE, values
    )


def memory_kpi() -> Outcome:
    """Where even the free memory above the target did not do, it is missed; else unknown."""
    if not torch.cuda.is_available():
        return _all((MEMORY,), SKIPPED, NO_GPU)
    free, _ = torch.cuda.mem_get_info()
    return _outcome(
        (MEMORY,),
        lambda size: measure_memory(random_model(dtype=DTYPE), *size, DTYPE),
        MEMORY_SIZE,
        lambda found: ((found.gb, ""),),
        too_large=FAIL if free >= MEMORY.target * GB else SKIPPED,
    )


def throughput_kpi() -> Outcome:
    if not torch.cuda.is_available():
        return _all((THROUGHPUT,), SKIPPED, NO_GPU)
    return _outcome(
        (THROUGHPUT,),
        lambda size: measure_throughput(random_model(dtype=DTYPE), *size, ITERATIONS),
        THROUGHPUT_SIZE,
        lambda found: ((found.rate, ""),),
    )


def _outcome(
    kpis: Sequence[Kpi],
    run: Callable[[Size], Result],
    asked: Size,
    values: Values[Result],
    too_large: str = SKIPPED,
) -> Outcome:
    """The verdicts on run(asked). `too_large` is the status where only a smaller try fits, whose
    figures are told."""
    try:
        found, held = fitting(run, asked)
    except torch.OutOfMemoryError:
        return _all(kpis, too_large, NO_MEMORY)
    except Exception as error:  # a compiler's or a driver's, of any type
        return _all(kpis, ERROR, f"{type(error).__name__}: {error}")
    pairs = list(zip(kpis, values(found), strict=True))
    if held == asked:
        return Outcome(tuple(judge(kpi, value, said) for kpi, (value, said) in pairs), found)
    return Outcome(
        tuple(
            Verdict(kpi, too_large, None, f"{told(asked, held)}: {kpi.shown(value)}")
            for kpi, (value, _) in pairs
        )
    )


def _all(kpis: Sequence[Kpi], status: str, reason: str) -> Outcome:
    return Outcome(tuple(Verdict(kpi, status, None, reason) for kpi in kpis))
