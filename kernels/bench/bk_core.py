"""BK-Core beside its torch references: how much faster, and how far from the true inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..reference.bk_core import dense, scan, serial
from .conditions import NORMAL, Effort
from .measure import Accuracy, Timing, accuracy, measure, stopwatch
from .place import Place, place

SHIFT = 0.1 + 0.1j
SEED = 42
DENSE_SEQ = 64  # a dense inverse takes N cubed
SCALING = (256, 512, 1024, 2048, 4096)
SCALING_BATCH, SCALING_EFFORT = 8, Effort(30, 10)
LOOPS = 20  # of this many runs the serial loop, seconds long on a GPU, does one

Inputs = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class BkBenchmark:
    """`scan` is the vectorised torch reference, `serial` the loop over positions. `accuracy` is
    of the kernel against the stable recurrences in complex128, `dense_mse` against the inverse of
    a matrix of DENSE_SEQ rows. Without a kernel `skipped` tells why; timings not taken are None."""

    batch: int
    seq: int
    effort: Effort
    device: str
    scan: Timing | None
    serial: Timing | None
    triton: Timing | None
    accuracy: Accuracy | None
    dense_mse: float | None
    skipped: str

    @property
    def speedup(self) -> float | None:
        """Mean over mean, against the vectorised scan."""
        return _ratio(self.scan, self.triton)

    @property
    def speedup_serial(self) -> float | None:
        return _ratio(self.serial, self.triton)

    @property
    def mse(self) -> float | None:
        """None where a value is not finite."""
        found = self.accuracy
        return None if found is None or found.non_finite_fraction else found.mse

    @property
    def told(self) -> str:
        """What else shows that the numbers are right."""
        if self.accuracy is None or self.dense_mse is None:
            return ""
        zero, spoilt = self.accuracy.zero_fraction, self.accuracy.non_finite_fraction
        return (
            f"{self.dense_mse:.2e} against a dense inverse at N {DENSE_SEQ}; "
            f"zero {zero:.2%}, not finite {spoilt:.2%}"
        )

    @property
    def nbytes(self) -> int:
        """Three real inputs and a complex result, in float32."""
        return self.batch * self.seq * 4 * (3 + 2)


def benchmark_bk_core(
    batch: int = 16,
    seq: int = 4096,
    runs: int = NORMAL.runs,
    warmup: int = NORMAL.warmup,
    *,
    where: Place | None = None,
) -> BkBenchmark:
    """Inputs N(0, 1), the device idle before and finished after each run. Where no kernel can be
    timed the references still are, except in the interpreter, which only checks."""
    where = where or place()
    effort = Effort(runs, warmup)
    timed = where.compiled or bool(where.skipped)
    given = inputs(batch, seq, where.device)
    by_scan = _timing(scan, given, effort, where) if timed else None
    rare = Effort(max(1, runs // LOOPS), min(1, warmup))
    by_loop = _timing(serial, given, rare, where) if timed else None
    found = triton = against_dense = None
    if not where.skipped:
        from ..bk_core import bk_core

        found = accuracy(bk_core(*given, SHIFT), exact(given))
        if where.compiled:
            triton = _timing(bk_core, given, effort, where)
            against_dense = _dense_mse(where.device)
    return BkBenchmark(
        batch,
        seq,
        effort,
        where.device,
        by_scan,
        by_loop,
        triton,
        found,
        against_dense,
        where.skipped,
    )


def scaling(where: Place) -> list[BkBenchmark]:
    """By sequence length, as far as the device's memory goes."""
    found: list[BkBenchmark] = []
    for seq in SCALING:
        try:
            found.append(benchmark_bk_core(SCALING_BATCH, seq, *SCALING_EFFORT, where=where))
        except torch.OutOfMemoryError:
            break
    return found


def inputs(batch: int, seq: int, device: str) -> Inputs:
    """Diagonal, upper and lower off-diagonal, the same on every device."""
    generator = torch.Generator().manual_seed(SEED)
    sizes = (seq, seq - 1, seq - 1)
    diagonal, upper, lower = (torch.randn(batch, n, generator=generator).to(device) for n in sizes)
    return diagonal, upper, lower


def exact(given: Inputs) -> Tensor:
    diagonal, upper, lower = (each.double() for each in given)
    return serial(diagonal, upper, lower, SHIFT)


def _dense_mse(device: str) -> float | None:
    from ..bk_core import bk_core

    given = inputs(1, DENSE_SEQ, device)
    return accuracy(bk_core(*given, SHIFT), dense(*given, SHIFT)).mse


def _timing(method: Any, given: Inputs, effort: Effort, where: Place) -> Timing:
    return measure(lambda: method(*given, SHIFT), effort, stopwatch(where.device))


def _ratio(slow: Timing | None, fast: Timing | None) -> float | None:
    return slow.mean_ms / fast.mean_ms if slow and fast else None
