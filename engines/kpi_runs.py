"""Measures what the KPIs ask for under their conditions; what cannot run here tells the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch

from ..kernels.bench.bk_core import BkBenchmark, benchmark_bk_core
from ..kernels.bench.conditions import Effort
from ..kernels.bench.fitting import Size, fitting, told
from ..kernels.bench.place import CHECK_ONLY, NO_GPU, place
from .kpi import GB, Memory, Throughput, measure_memory, measure_throughput
from .measured import Measured
from .random_model import random_model

NO_MEMORY = "The device has no memory for it in any size"
BK_SIZE, MEMORY_SIZE, THROUGHPUT_SIZE = Size(16, 4096), Size(1, 4096), Size(4, 512)
MEMORY_SCALING = (
    *(Size(1, seq) for seq in (512, 1024, 2048, 4096)),
    *(Size(batch, 512) for batch in (2, 4, 8)),
)
THROUGHPUT_SCALING = tuple(Size(batch, 512) for batch in (1, 2, 4, 8))
ITERATIONS, SCALING_ITERATIONS = 20, 10
DTYPE = torch.float16
BK_SPEED, BK_ERROR, MEMORY, THROUGHPUT = "bk_speedup", "bk_mse", "memory_gb", "forward_throughput"

Result = TypeVar("Result", BkBenchmark, Memory, Throughput)
Sized = TypeVar("Sized", Memory, Throughput)
Figures = Mapping[str, Measured]  # by metric


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is under the KPI's condition; None where it did not run or not at that size."""

    figures: Figures
    result: BkBenchmark | Memory | Throughput | None = None


class Scaled(NamedTuple, Generic[Sized]):
    """One size of a series; `note` tells where only a smaller one fitted."""

    result: Sized
    note: str


def bk_kpi(effort: Effort) -> Outcome:
    where = place()
    if not where.compiled:
        return Outcome(_all((BK_SPEED, BK_ERROR), Measured(None, where.skipped or CHECK_ONLY)))

    def figures(found: BkBenchmark) -> Figures:
        mse = float("nan") if found.mse is None else found.mse  # a value was not finite
        serial = f"{found.speedup_serial or 0:,.1f}× the serial loop"
        return {
            BK_SPEED: Measured(found.speedup, serial),
            BK_ERROR: Measured(mse, found.told),
        }

    return _outcome(
        (BK_SPEED, BK_ERROR),
        lambda size: benchmark_bk_core(*size, *effort, where=where),
        BK_SIZE,
        figures,
        lambda found: f"{found.speedup or 0:.2f}×",
    )


def memory_kpi() -> Outcome:
    if not torch.cuda.is_available():
        return Outcome(_all((MEMORY,), Measured(None, NO_GPU)))
    free, _ = torch.cuda.mem_get_info()
    return _outcome(
        (MEMORY,),
        lambda size: measure_memory(random_model(dtype=DTYPE), *size, DTYPE),
        MEMORY_SIZE,
        lambda found: {MEMORY: Measured(found.gb)},
        lambda found: f"{found.gb:.2f} GB",
        above=free / GB,
    )


def throughput_kpi() -> Outcome:
    if not torch.cuda.is_available():
        return Outcome(_all((THROUGHPUT,), Measured(None, NO_GPU)))
    return _outcome(
        (THROUGHPUT,),
        lambda size: measure_throughput(random_model(dtype=DTYPE), *size, ITERATIONS),
        THROUGHPUT_SIZE,
        lambda found: {THROUGHPUT: Measured(found.rate)},
        lambda found: f"{found.rate:.1f} tok/s",
    )


def memory_scaling() -> list[Scaled[Memory]]:
    """By sequence length, then by batch. Needs a CUDA device."""
    model = random_model(dtype=DTYPE)
    return list(_series(lambda size: measure_memory(model, *size, DTYPE), MEMORY_SCALING))


def throughput_scaling() -> list[Scaled[Throughput]]:
    """By batch."""
    model = random_model(dtype=DTYPE)
    return list(
        _series(
            lambda size: measure_throughput(model, *size, SCALING_ITERATIONS), THROUGHPUT_SCALING
        )
    )


def _series(run: Callable[[Size], Sized], sizes: tuple[Size, ...]) -> Iterator[Scaled[Sized]]:
    """As far as the device's memory goes."""
    for asked in sizes:
        try:
            found, held = fitting(run, asked)
        except torch.OutOfMemoryError:
            return
        yield Scaled(found, told(asked, held))


def _outcome(
    metrics: tuple[str, ...],
    run: Callable[[Size], Result],
    asked: Size,
    figures: Callable[[Result], Figures],
    shown: Callable[[Result], str],
    above: float | None = None,
) -> Outcome:
    """What run(asked) finds. Where only a smaller try fits, that is told, and of the figures asked
    for no more is known than that they are `above` something."""
    try:
        found, held = fitting(run, asked)
    except torch.OutOfMemoryError:
        return Outcome(_all(metrics, Measured(None, NO_MEMORY, above)))
    except Exception as error:  # a compiler's or a driver's, of any type
        said = f"{type(error).__name__}: {error}"
        return Outcome(_all(metrics, Measured(None, said, failed=True)))
    if held == asked:
        return Outcome(figures(found), found)
    return Outcome(_all(metrics, Measured(None, f"{told(asked, held)}: {shown(found)}", above)))


def _all(metrics: tuple[str, ...], found: Measured) -> Figures:
    return dict.fromkeys(metrics, found)
