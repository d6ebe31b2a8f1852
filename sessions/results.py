"""Results of kernel benchmarks and KPIs as JSON, in the field names of the source documents."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from ..engines.measured import Measured
from .bench.judging import Key, judge_all
from .bench.limits import PASS, SKIPPED, Limit, packaged_limits, select
from .gpu import Gpu

if TYPE_CHECKING:
    from ..engines.kpi import Memory, Throughput
    from ..engines.kpi_runs import Scaled
    from ..kernels.bench.bk_core import BkBenchmark
    from ..kernels.bench.measure import Timing

BK_FILE, SCALING_FILE = "bk_core_triton_benchmark_kpi.json", "bk_core_triton_scaling.json"
KERNELS_FILE, PROFILE_FILE = "kernels.json", "profile.json"

Limits = Sequence[Limit] | None  # None is the packaged ones
Origin = Mapping[str, Any]


def origin(gpu: Gpu | None = None) -> dict[str, Any]:
    """When, where and with what a result was measured; no host, no person."""
    described = (gpu or Gpu()).describe() or {}
    return {
        "timestamp": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "gpu_name": described.get("name"),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "tokenhud_version": __version__,
    }


def bk_record(found: BkBenchmark, origin: Origin, limits: Limits = None) -> dict[str, Any]:
    target, status = _target("bk_speedup", limits), _bk_status(found, limits)
    accuracy = asdict(found.accuracy) if found.accuracy else {}
    triton = {"available": found.triton is not None} | (_timing(found.triton) or {})
    return {
        "config": {
            "batch_size": found.batch,
            "seq_len": found.seq,
            "num_runs": found.effort.runs,
            "warmup_runs": found.effort.warmup,
            "device": found.device,
            "gpu_name": origin["gpu_name"],
            "platform": origin["platform"],
        },
        "pytorch": _timing(found.scan),
        "pytorch_serial": _timing(found.serial),
        "triton": triton | ({"reason": found.skipped} if found.skipped else {}),
        "speedup": found.speedup,
        "speedup_serial": found.speedup_serial,
        "numerical_error": found.mse,
        "numerical_error_dense": found.dense_mse,
        "zero_fraction": accuracy.get("zero_fraction"),
        "non_finite_fraction": accuracy.get("non_finite_fraction"),
        "kpi_status": status,
        "success": status == PASS,
        "kpi_achievement": {
            "target_speedup": target,
            "achieved_speedup": found.speedup,
            "speedup_ratio": found.speedup / target if found.speedup and target else None,
            "status": status,
        },
        "timestamp": origin["timestamp"],
        "tokenhud_version": origin["tokenhud_version"],
    }


def scaling_record(
    found: Sequence[BkBenchmark], origin: Origin, limits: Limits = None
) -> dict[str, Any]:
    """Mean milliseconds of one or more sequence lengths, each of which must meet the KPI."""
    return {
        "batch_size": found[0].batch,
        "num_runs": found[0].effort.runs,
        "sequence_lengths": [each.seq for each in found],
        "pytorch_times": [each.scan.mean_ms if each.scan else None for each in found],
        "pytorch_serial_times": [each.serial.mean_ms if each.serial else None for each in found],
        "triton_times": [each.triton.mean_ms if each.triton else None for each in found],
        "speedups": [each.speedup for each in found],
        "numerical_errors": [each.mse for each in found],
        "kpi_status": "PASS" if all(_bk_status(each, limits) == PASS for each in found) else "FAIL",
        **origin,
    }


def memory_record(found: Memory, origin: Origin, limits: Limits = None) -> dict[str, Any]:
    return {
        **_memory(found),
        "target_memory_gb": _target("memory_gb", limits),
        "kpi_status": _status({"memory_gb": found.gb}, limits),
        **origin,
    }


def throughput_record(found: Throughput, origin: Origin, limits: Limits = None) -> dict[str, Any]:
    return {
        **_throughput(found),
        "target_throughput": _target("forward_throughput", limits),
        "kpi_status": _status({"forward_throughput": found.rate}, limits),
        **origin,
    }


def memory_scaling_record(found: Sequence[Scaled[Memory]], origin: Origin) -> dict[str, Any]:
    return {"measurements": [_memory(each.result) | _noted(each) for each in found], **origin}


def throughput_scaling_record(
    found: Sequence[Scaled[Throughput]], origin: Origin
) -> dict[str, Any]:
    """`scales` is whether the largest batch is faster than the smallest."""
    rates = [each.result.rate for each in found]
    return {
        "measurements": [_throughput(each.result) | _noted(each) for each in found],
        "scales": rates[-1] > rates[0] if rates else None,
        **origin,
    }


def _memory(found: Memory) -> dict[str, Any]:
    return {
        "batch_size": found.batch,
        "seq_len": found.seq,
        "dtype": found.dtype,
        "memory_bytes": found.nbytes,
        "memory_mb": found.nbytes / 1024**2,
        "memory_gb": found.gb,
        "device": found.device,
    }


def _throughput(found: Throughput) -> dict[str, Any]:
    return {
        "batch_size": found.batch,
        "seq_len": found.seq,
        "dtype": found.dtype,
        "num_iterations": len(found.seconds),
        "total_tokens": found.tokens,
        "forward_time": sum(found.seconds),
        "forward_throughput": found.rate,
        "device": found.device,
    }


def _noted(found: Scaled[Any]) -> dict[str, str]:
    return {"note": found.note} if found.note else {}


def _bk_status(found: BkBenchmark, limits: Limits) -> str | None:
    if found.speedup is None:
        return SKIPPED
    mse = math.nan if found.mse is None else found.mse
    return _status({"bk_speedup": found.speedup, "bk_mse": mse}, limits)


def _status(figures: Mapping[str, float], limits: Limits) -> str | None:
    """The worst of the verdicts on them; None where no limit is about them."""
    asked = select(packaged_limits() if limits is None else limits, list(figures))
    found = {Key(metric): Measured(value) for metric, value in figures.items()}
    missed = [each.status for each in judge_all(asked, found) if each.status != PASS]
    return next(iter(missed), PASS) if asked else None


def _target(metric: str, limits: Limits) -> float | None:
    asked = select(packaged_limits() if limits is None else limits, [metric])
    return asked[0].target if asked else None


def _timing(taken: Timing | None) -> dict[str, Any] | None:
    return asdict(taken) if taken else None


class Kept(NamedTuple):
    """How what a KPI's run found is kept: its file, and the field of each metric in it."""

    name: str
    record: Callable[[Any, Origin, Limits], dict[str, Any]]
    metrics: Mapping[str, str]


KPI_FILES: Mapping[str, Kept] = {
    "bk": Kept(BK_FILE, bk_record, {"bk_speedup": "speedup", "bk_mse": "numerical_error"}),
    "memory": Kept("phase2_memory_kpi.json", memory_record, {"memory_gb": "memory_gb"}),
    "throughput": Kept(
        "phase2_throughput_kpi.json",
        throughput_record,
        {"forward_throughput": "forward_throughput"},
    ),
}
SCALING: Mapping[str, tuple[str, Callable[[Any, Origin], dict[str, Any]]]] = {
    "memory": ("phase2_memory_scaling.json", memory_scaling_record),
    "throughput": ("phase2_throughput_scaling.json", throughput_scaling_record),
}
