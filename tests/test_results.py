from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenhud.engines.events import EngineError
from tokenhud.engines.kpi import Memory, Throughput
from tokenhud.kernels.bench.bk_core import BkBenchmark
from tokenhud.kernels.bench.conditions import Effort
from tokenhud.kernels.bench.measure import Accuracy, Timing, timing
from tokenhud.kernels.bench.place import Place
from tokenhud.kernels.bench.report import Bench, Row
from tokenhud.sessions.results import bk_record, memory_record, scaling_record, throughput_record
from tokenhud.sessions.writing import write_new
from tokenhud.tui.headless.kernels_report import kernels_record

ORIGIN = {
    "timestamp": "2030-01-02T03:04:05+00:00",
    "gpu_name": "Card",
    "platform": "Linux",
    "tokenhud_version": "1.2",
}


def even(milliseconds: float) -> Timing:
    return timing([milliseconds] * 3)


def compared(triton: float | None, mse: float = 1e-9) -> BkBenchmark:
    return BkBenchmark(
        batch=16,
        seq=4096,
        effort=Effort(100, 10),
        device="cuda",
        scan=even(6.0),
        serial=even(500.0),
        triton=even(triton) if triton else None,
        accuracy=Accuracy(1e-4, mse, 100.0, 0.0, 0.0),
        dense_mse=1e-13,
        skipped="" if triton else "no card",
    )


@pytest.mark.parametrize(
    ("triton", "mse", "status"),
    [(2.0, 1e-9, "PASS"), (2.01, 1e-9, "FAIL"), (1.0, 1e-6, "FAIL"), (None, 1e-9, "SKIPPED")],
)
def test_the_bk_file_has_the_fields_of_the_source(
    triton: float | None, mse: float, status: str
) -> None:
    found = compared(triton, mse)
    record = bk_record(found, ORIGIN)
    assert record["config"] == {
        "batch_size": 16,
        "seq_len": 4096,
        "num_runs": 100,
        "warmup_runs": 10,
        "device": "cuda",
        "gpu_name": "Card",
        "platform": "Linux",
    }
    assert record["pytorch"]["mean_ms"] == 6.0
    assert record["pytorch_serial"]["mean_ms"] == 500.0
    assert record["triton"]["available"] == (triton is not None)
    assert record["speedup"] == (pytest.approx(6 / triton) if triton else None)
    assert record["speedup_serial"] == (pytest.approx(500 / triton) if triton else None)
    assert record["numerical_error"] == mse
    assert record["numerical_error_dense"] == 1e-13
    assert (record["zero_fraction"], record["non_finite_fraction"]) == (0.0, 0.0)
    assert record["kpi_status"] == record["kpi_achievement"]["status"] == status
    assert record["success"] == (status == "PASS")
    assert record["timestamp"] == ORIGIN["timestamp"]
    json.dumps(record, allow_nan=False)


def test_values_that_are_not_finite_fail_the_kpi() -> None:
    spoilt = replace(compared(1.0), accuracy=Accuracy(1e-4, 1e-9, 100.0, 0.0, 1e-5))
    assert bk_record(spoilt, ORIGIN)["kpi_status"] == "FAIL"
    assert spoilt.mse is None


@pytest.mark.parametrize(("last", "status"), [(1.0, "PASS"), (3.0, "FAIL")])
def test_every_length_of_the_scaling_file_must_pass(last: float, status: str) -> None:
    record = scaling_record([compared(2.0), compared(last)], ORIGIN)
    assert record["sequence_lengths"] == [4096, 4096]
    assert record["pytorch_times"] == [6.0, 6.0]
    assert record["triton_times"] == [2.0, last]
    assert record["speedups"] == [3.0, pytest.approx(6 / last)]
    assert record["kpi_status"] == status


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "new"
    written = [write_new(folder, "kpi.json", {"run": run}) for run in range(3)]
    assert [path.name for path in written] == ["kpi.json", "kpi-2.json", "kpi-3.json"]
    assert [json.loads(path.read_text())["run"] for path in written] == [0, 1, 2]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be written"):
        write_new(tmp_path / "file" / "below", "kpi.json", {})


def test_the_document_names_every_field() -> None:
    bench = Bench(Place("cuda", True), Effort(100, 10), torch.bfloat16, 3000.0, lambda _: 0.0)
    row = Row("bk_core", "bk_core", "[1, 2]", "float32", 40, bk=compared(1.0), note="n")
    memory, throughput = Memory(1, 2, "float16", "cuda", 3), Throughput(1, 2, "", "cuda", (1.0,))
    records = [
        kernels_record(bench, [row], ORIGIN),
        scaling_record([compared(1.0)], ORIGIN),
        memory_record(memory, ORIGIN),
        throughput_record(throughput, ORIGIN),
    ]
    told = (Path(__file__).parents[1] / "docs" / "kernels.md").read_text(encoding="utf-8")
    names = {name for record in records for name in nested(record)} | {e.name for e in fields(Row)}
    assert not {name for name in names if f"`{name}`" not in told}


def nested(record: Any) -> Iterator[str]:
    if isinstance(record, dict):
        yield from record
        for value in record.values():
            yield from nested(value)
    elif isinstance(record, list):
        for value in record:
            yield from nested(value)
