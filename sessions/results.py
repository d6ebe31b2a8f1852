"""Results of kernel benchmarks and KPIs as JSON, in the field names of the source documents."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..engines.events import EngineError
from ..engines.verdicts import BK_SPEED, MEMORY, THROUGHPUT, judge
from .gpu import Gpu
from .places import numbered

if TYPE_CHECKING:
    from ..engines.kpi import Memory, Throughput
    from ..kernels.bench.bk_core import BkBenchmark
    from ..kernels.bench.measure import Timing

BK_FILE, SCALING_FILE = "bk_core_triton_benchmark_kpi.json", "bk_core_triton_scaling.json"
KERNELS_FILE = "kernels.json"


def write_new(folder: Path, name: str, record: Mapping[str, Any]) -> Path:
    """Writes `name`, or name-2, name-3, ... where it is there already. Raises EngineError where
    the folder can't be made or written."""
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in numbered(folder / name):
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise EngineError(
            f"{folder} cannot be written: {error.strerror}.", "Name another."
        ) from None
    raise AssertionError("numbers never end")


def origin(gpu: Gpu | None = None) -> dict[str, Any]:
    """When, where and with what a result was measured; no host, no person."""
    described = (gpu or Gpu()).describe() or {}
    return {
        "timestamp": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "gpu_name": described.get("name"),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "tokenhud_version": __version__,
    }


def bk_record(found: BkBenchmark, origin: Mapping[str, Any]) -> dict[str, Any]:
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
        "kpi_status": found.status,
        "success": found.status == "PASS",
        "kpi_achievement": {
            "target_speedup": BK_SPEED.target,
            "achieved_speedup": found.speedup,
            "speedup_ratio": found.speedup / BK_SPEED.target if found.speedup else None,
            "status": found.status,
        },
        "timestamp": origin["timestamp"],
        "tokenhud_version": origin["tokenhud_version"],
    }


def scaling_record(found: Sequence[BkBenchmark], origin: Mapping[str, Any]) -> dict[str, Any]:
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
        "kpi_status": "PASS" if all(each.status == "PASS" for each in found) else "FAIL",
        **origin,
    }


def memory_record(found: Memory, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": found.batch,
        "seq_len": found.seq,
        "dtype": found.dtype,
        "memory_bytes": found.nbytes,
        "memory_mb": found.nbytes / 1024**2,
        "memory_gb": found.gb,
        "device": found.device,
        "target_memory_gb": MEMORY.target,
        "kpi_status": judge(MEMORY, found.gb).status,
        **origin,
    }


def throughput_record(found: Throughput, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": found.batch,
        "seq_len": found.seq,
        "dtype": found.dtype,
        "num_iterations": len(found.seconds),
        "total_tokens": found.tokens,
        "forward_time": sum(found.seconds),
        "forward_throughput": found.rate,
        "device": found.device,
        "target_throughput": THROUGHPUT.target,
        "kpi_status": judge(THROUGHPUT, found.rate).status,
        **origin,
    }


def _timing(taken: Timing | None) -> dict[str, Any] | None:
    return asdict(taken) if taken else None


KPI_FILES: Mapping[str, tuple[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]]] = {
    "bk": (BK_FILE, bk_record),
    "memory": ("phase2_memory_kpi.json", memory_record),
    "throughput": ("phase2_throughput_kpi.json", throughput_record),
}
