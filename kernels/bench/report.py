"""The catalogue's kernels, each timed beside torch and compared with float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from .bk_core import BkBenchmark, benchmark_bk_core
from .case import LARGE, SMALL, Case, Setting
from .catalog import KERNELS
from .conditions import Effort
from .fitting import Size, fitting, told
from .measure import (
    Accuracy,
    Stopwatch,
    Timing,
    accuracy,
    bandwidth,
    gbps,
    graph,
    measure,
    queued_stopwatch,
    stopwatch,
)
from .place import CHECK_ONLY, Place

BK_CORE = "bk_core"
NAMES = (*KERNELS, BK_CORE)
LAUNCHES = 50  # of a CUDA graph; one for each copy of the inputs where those are more
USUAL = {"attention": Size(1, 4096), "rotate_and_write": Size(1, 4096), BK_CORE: Size(16, 4096)}
CHECKED, BK_CHECKED = Size(3, 20), Size(1, 20)  # in the interpreter, for which scans are long
DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class Row:
    """One case of one kernel. `nbytes` is what it must move at the least; `torch_fast` times
    torch's own fused path where it has one. What was not measured is None, and `skipped` or
    `failed` tells why."""

    kernel: str
    case: str
    shape: str = ""
    dtype: str = ""
    nbytes: int | None = None
    accuracy: Accuracy | None = None
    triton: Timing | None = None
    torch: Timing | None = None
    torch_fast: Timing | None = None
    bandwidth_share: float | None = None
    bk: BkBenchmark | None = None  # of which this row is an extract
    note: str = ""
    skipped: str = ""
    failed: str = ""

    @property
    def gbps(self) -> float | None:
        return gbps(self.nbytes, self.triton.median_ms) if self.nbytes and self.triton else None

    @property
    def speedup(self) -> float | None:
        """Median over median, against the reference."""
        return self.torch.median_ms / self.triton.median_ms if self.torch and self.triton else None

    @property
    def speedup_fast(self) -> float | None:
        fast = self.torch_fast
        return fast.median_ms / self.triton.median_ms if fast and self.triton else None


@dataclass(frozen=True, slots=True)
class Bench:
    """How kernels are measured here; `bandwidth` in GB/s, None where nothing can be timed."""

    where: Place
    effort: Effort
    dtype: torch.dtype
    bandwidth: float | None
    watch: Stopwatch

    @classmethod
    def at(cls, where: Place, effort: Effort, dtype: str) -> Bench:
        if not where.compiled:
            return cls(where, effort, getattr(torch, dtype), None, stopwatch(where.device))
        watch = queued_stopwatch(where.device)
        return cls(where, effort, getattr(torch, dtype), bandwidth(where.device, watch), watch)

    def rows(self, kernel: str, batch: int | None = None, seq: int | None = None) -> list[Row]:
        """Whatever befalls one kernel is told in a row of it, so that the others are measured."""
        blank = Row(kernel, kernel)
        if self.where.skipped:
            return [replace(blank, skipped=self.where.skipped)]
        if self.where.compiled:
            usual = USUAL.get(kernel, Size(1, 1))
        else:
            usual = BK_CHECKED if kernel == BK_CORE else CHECKED
        asked = Size(batch or usual.batch, seq or usual.seq)
        run = self._bk_core if kernel == BK_CORE else partial(self._catalogued, kernel)
        try:
            rows, held = fitting(run, asked)
        except torch.OutOfMemoryError:
            return [replace(blank, failed="The device has no memory for it in any size.")]
        except ValueError as error:  # how a kernel refuses a shape
            return [replace(blank, skipped=str(error))]
        except Exception as error:  # a compiler's or a driver's, of any type
            return [replace(blank, failed=f"{type(error).__name__}: {error}")]
        said = (told(asked, held), "" if self.where.compiled else CHECK_ONLY)
        return [replace(row, note="; ".join(filter(None, (row.note, *said)))) for row in rows]

    def _catalogued(self, kernel: str, size: Size) -> list[Row]:
        shape = LARGE if self.where.compiled else SMALL
        setting = Setting.on(self.where.device, shape, *size, self.dtype)
        return [self._row(kernel, case) for case in KERNELS[kernel](setting)]

    def _row(self, kernel: str, case: Case) -> Row:
        dtype = str(self.dtype).removeprefix("torch.")
        found = accuracy(*case.check())
        row = Row(kernel, case.name, case.shape, dtype, case.nbytes, found, note=case.note)
        if not self.where.compiled:
            return row
        return self._rated(
            replace(
                row,
                triton=self._timing(case.triton, case.copies),
                torch=self._timing(case.torch, case.copies),
                torch_fast=self._timing(case.fast, case.copies) if case.fast else None,
            )
        )

    def _timing(self, call: Callable[[int], object], copies: int) -> Timing:
        launches = max(LAUNCHES, copies)
        replay = graph(lambda i: call(i % copies), launches)
        return measure(replay, self.effort, self.watch, launches)

    def _bk_core(self, size: Size) -> list[Row]:
        """Run by run from an idle device, launches included, as its KPI asks for it."""
        found = benchmark_bk_core(*size, *self.effort, where=self.where)
        shape, note = f"[{found.batch}, {found.seq}]", ""
        if found.speedup_serial:
            note = f"{found.speedup_serial:,.1f}× the serial loop"
        row = Row(BK_CORE, BK_CORE, shape, "float32", found.nbytes, found.accuracy, note=note)
        return [self._rated(replace(row, bk=found, triton=found.triton, torch=found.scan))]

    def _rated(self, row: Row) -> Row:
        if row.gbps is None or self.bandwidth is None:
            return row
        return replace(row, bandwidth_share=row.gbps / self.bandwidth)
