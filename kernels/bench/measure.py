"""How long a call takes on a device, how wrong its result is, how fast the device copies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

import torch
from torch import Tensor

from .conditions import Effort

Call = Callable[[], object]
Stopwatch = Callable[[Call], float]  # milliseconds of one call, the device's work included
COPIED = 1 << 30  # bytes of the copy that tells the bandwidth: far more than a cache holds
FILLED = 1 << 28  # bytes; tens of microseconds to write, in which a host starts a CUDA graph


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one call over `runs` runs; the deviation is the population's."""

    runs: int
    median_ms: float
    mean_ms: float
    std_ms: float
    min_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A result against a float64 reference. Errors are over what is finite in both, and None
    where nothing is; `scale` is the reference's largest magnitude."""

    max_error: float | None
    mse: float | None
    scale: float | None
    zero_fraction: float
    non_finite_fraction: float


def stopwatch(device: str) -> Stopwatch:
    """Device events on a GPU, where the call starts on an idle device; else the host's clock."""
    return _events if device == "cuda" else _host


def queued_stopwatch(device: str) -> Stopwatch:
    """As `stopwatch`, but the device is busy until all of the call's work waits for it: how soon
    the host hands work over does not count. What the device has cached is written over."""
    if device != "cuda":
        return _host
    filler = torch.empty(FILLED, dtype=torch.uint8, device=device)
    return lambda call: _events(call, before=filler.zero_)


def _events(call: Call, before: Call | None = None) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    if before:
        before()
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def _host(call: Call) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def measure(call: Call, effort: Effort, watch: Stopwatch, launches: int = 1) -> Timing:
    """The timing of one of the `launches` that each call makes."""
    for _ in range(effort.warmup):
        call()
    return timing([watch(call) / launches for _ in range(effort.runs)])


def timing(samples: Sequence[float]) -> Timing:
    spread = pstdev(samples)
    return Timing(len(samples), median(samples), fmean(samples), spread, min(samples), max(samples))


def graph(call: Callable[[int], object], launches: int) -> Call:
    """The replay of a CUDA graph of call(0), call(1), ...: kernels without the host's time."""
    call(0)  # compiles outside the capture
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        kept = [call(i) for i in range(launches)]

    def replay() -> object:
        captured.replay()
        return kept  # the graph writes into these for as long as it lives

    return replay


def bandwidth(device: str, watch: Stopwatch, nbytes: int = COPIED) -> float:
    """GB/s, read and written bytes counted, of the median of 20 copies within the device, of a
    quarter of its free memory where `nbytes` is more."""
    if device == "cuda":
        nbytes = min(nbytes, torch.cuda.mem_get_info()[0] // 4)
    source = torch.zeros(nbytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = measure(lambda: target.copy_(source), Effort(20, 3), watch)
    return gbps(2 * nbytes, taken.median_ms)


def gbps(nbytes: int, milliseconds: float) -> float:
    return nbytes / milliseconds / 1e6


def accuracy(found: Tensor, exact: Tensor) -> Accuracy:
    """Complex values count as two each."""
    ours, right = _parts(found), _parts(exact)
    finite = ours.isfinite() & right.isfinite()
    errors = (ours - right)[finite].abs()
    return Accuracy(
        max_error=_largest(errors),
        mse=errors.square().mean().item() if errors.numel() else None,
        scale=_largest(right[finite].abs()),
        zero_fraction=(ours == 0).double().mean().item(),
        non_finite_fraction=1 - ours.isfinite().double().mean().item(),
    )


def _parts(values: Tensor) -> Tensor:
    return (torch.view_as_real(values) if values.is_complex() else values).double()


def _largest(values: Tensor) -> float | None:
    largest = values.max().item() if values.numel() else math.nan
    return largest if math.isfinite(largest) else None
