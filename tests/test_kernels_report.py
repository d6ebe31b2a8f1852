from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenhud.__main__ import main
from tokenhud.kernels.bench import catalog, place, report
from tokenhud.kernels.bench.bk_core import benchmark_bk_core
from tokenhud.kernels.bench.case import SMALL, Case, Setting
from tokenhud.kernels.bench.conditions import Effort
from tokenhud.kernels.bench.fitting import Size, fitting, told
from tokenhud.kernels.bench.measure import Accuracy, Timing, accuracy, measure, timing
from tokenhud.kernels.bench.place import NO_GPU, NO_TRITON, Place
from tokenhud.kernels.bench.report import Bench, Row
from tokenhud.tui.headless.kernels_report import table

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def even(milliseconds: float) -> Timing:
    return timing([milliseconds] * 3)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def compiled_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_timing_leaves_warm_ups_out_and_shares_a_call_among_its_launches() -> None:
    calls: list[int] = []
    readings = iter([2.0, 4.0, 12.0])

    def watch(call: Any) -> float:
        call()
        return next(readings)

    found = measure(lambda: calls.append(1), Effort(runs=3, warmup=2), watch, launches=2)
    assert len(calls) == 5
    assert (found.runs, found.median_ms, found.mean_ms) == (3, 2.0, 3.0)
    assert (found.min_ms, found.max_ms) == (1.0, 6.0)
    assert found.std_ms == pytest.approx(math.sqrt(14 / 3))


def test_errors_are_over_what_is_finite_and_the_rest_is_told() -> None:
    exact = torch.tensor([1.0, 2.0, 4.0, -8.0], dtype=torch.float64)
    found = accuracy(torch.tensor([1.0, 0.0, math.nan, -7.0]), exact)
    assert found == Accuracy(2.0, 5 / 3, 8.0, 0.25, 0.25)
    assert accuracy(torch.full((2,), math.inf), exact[:2]).mse is None


def test_a_complex_value_counts_as_two() -> None:
    assert accuracy(torch.tensor([1 + 0j]), torch.tensor([1 + 2j])).mse == 2.0


@pytest.mark.parametrize(
    ("largest", "held"),
    [(10**6, Size(8, 64)), (256, Size(4, 64)), (40, Size(1, 32)), (1, Size(1, 1))],
)
def test_without_memory_a_smaller_size_is_tried(largest: int, held: Size) -> None:
    def run(size: Size) -> int:
        if size.batch * size.seq > largest:
            raise torch.OutOfMemoryError
        return size.batch * size.seq

    asked = Size(8, 64)
    assert fitting(run, asked) == (held.batch * held.seq, held)
    assert bool(told(asked, held)) == (held != asked)


def test_where_no_size_fits_the_error_stays() -> None:
    def run(_: Size) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        fitting(run, Size(4, 4))


@pytest.mark.parametrize(
    ("triton", "interpret", "gpu", "found"),
    [
        (False, "", True, Place("cuda", False, NO_TRITON)),
        (False, "1", False, Place("cpu", False, NO_TRITON)),
        (True, "", False, Place("cpu", False, NO_GPU)),
        (True, "1", True, Place("cpu", False)),
        (True, "", True, Place("cuda", True)),
    ],
)
def test_where_kernels_run(
    monkeypatch: pytest.MonkeyPatch, triton: bool, interpret: str, gpu: bool, found: Place
) -> None:
    monkeypatch.setattr(place, "find_spec", lambda _: object() if triton else None)
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert place.place() == found


@pytest.mark.usefixtures("compiled_nowhere")
def test_without_a_gpu_every_kernel_is_skipped_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["kernels"]) == 0
    *lines, hint = capsys.readouterr().out.splitlines()
    assert "TRITON_INTERPRET=1 tokenhud kernels" in hint
    assert [line.split()[0] for line in lines] == list(report.NAMES)
    assert all("SKIPPED" in line and "no CUDA device" in line for line in lines)


@pytest.mark.usefixtures("compiled_nowhere")
def test_without_triton_the_reason_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(place, "find_spec", lambda _: None)
    assert main(["kernels", "swiglu", "--json", "-"]) == 0
    assert "pip install 'tokenhud[triton]'" in printed(capsys)["kernels"][0]["skipped"]


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [*((name, "bfloat16") for name in report.NAMES), ("linear", "float32"), ("int4", "float16")],
)
@pytest.mark.skipif("TRITON_INTERPRET" not in os.environ, reason="needs Triton's interpreter")
def test_the_interpreter_checks_and_times_nothing(
    kernel: str, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernels", kernel, "--dtype", dtype, "--json", "-"]) == 0
    record = printed(capsys)
    assert record["bandwidth_gbps"] is None
    for row in record["kernels"]:
        found = row["accuracy"]
        assert "slow check only" in row["note"]
        assert "triton" not in row
        assert found["non_finite_fraction"] == 0
        assert found["zero_fraction"] < 0.01
        tolerance = 1e-5 if row["dtype"] == "float32" else 2**-6
        assert found["max_error"] <= tolerance * found["scale"]


@pytest.mark.parametrize("kernel", catalog.KERNELS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.skipif("TRITON_INTERPRET" not in os.environ, reason="needs Triton's interpreter")
def test_what_is_timed_beside_a_kernel_makes_as_much(kernel: str, batch: int) -> None:
    setting = Setting.on("cpu", SMALL, batch, 20, torch.float32)
    for case in catalog.KERNELS[kernel](setting):
        results = [run(0) for run in (case.triton, case.torch, case.fast) if run]
        made = {result.numel() if isinstance(result, torch.Tensor) else None for result in results}
        assert len(made) == 1


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("kernel", report.NAMES)
def test_a_gpu_times_every_kernel(kernel: str) -> None:
    bench = Bench.at(place.place(), Effort(3, 1), "bfloat16")
    for row in bench.rows(kernel):
        assert not row.failed + row.skipped
        assert row.triton
        assert row.torch
        assert 0 < (row.bandwidth_share or 0) < 1.2
        assert row.accuracy
        assert (row.accuracy.max_error or 0) < 2**-6 * (row.accuracy.scale or 0)


def test_an_unknown_kernel_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", "convolution"]) == 3
    assert "There is no kernel convolution. There are: linear," in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["0", "-3", "x", "1.5"])
def test_a_size_is_a_whole_number(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["kernels", f"--batch={wrong}"])
    assert left.value.code == 3
    assert "whole number" in capsys.readouterr().err


def doubling(refused: type[Exception] | None = None, at_most: int = 100) -> Any:
    """The cases of a kernel that doubles; `refused` is raised for more than `at_most` rows."""

    def cases(on: Setting) -> Iterator[Case]:
        if refused and on.batch > at_most:
            raise refused("Too many rows.")
        x = on.normal(on.batch, 4)
        yield Case(
            "double",
            f"[{on.batch}, 4]",
            nbytes=2 * x.nbytes,
            copies=1,
            triton=lambda _: x + x,
            torch=lambda _: x * 2,
            check=lambda: (x + x, x.double() * 2),
        )

    return cases


@pytest.mark.parametrize(
    ("refused", "status", "told"),
    [
        (torch.OutOfMemoryError, "", "out of memory at batch 8, sequence 1; measured at batch 2"),
        (ValueError, "skipped", "Too many rows."),
        (RuntimeError, "failed", "RuntimeError: Too many rows."),
    ],
)
def test_whatever_befalls_a_kernel_is_told_in_its_row(
    monkeypatch: pytest.MonkeyPatch, refused: type[Exception], status: str, told: str
) -> None:
    monkeypatch.setitem(catalog.KERNELS, "swiglu", doubling(refused, at_most=2))
    bench = Bench.at(Place("cpu", False), Effort(1, 1), "float32")
    (row,) = bench.rows("swiglu", 8, 1)
    assert told in (getattr(row, status) if status else row.note)
    assert (row.accuracy is None) == bool(status)


@pytest.mark.parametrize("kernel", ["attention", "rotate_and_write"])
def test_more_rows_than_positions_are_refused(kernel: str) -> None:
    (row,) = Bench.at(Place("cpu", False), Effort(1, 1), "float32").rows(kernel, 8, 4)
    assert row.skipped == "8 rows do not fit in 4 positions."


def test_a_graph_s_time_is_shared_among_its_launches_and_rated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(catalog.KERNELS, "swiglu", doubling())
    launched: list[int] = []

    def graph(_: Any, launches: int) -> Any:
        return lambda: launched.append(launches)

    def watch(call: Any) -> float:
        call()
        return 0.1 * launched[-1]

    monkeypatch.setattr(report, "graph", graph)
    bench = Bench(Place("cpu", True), Effort(3, 2), torch.float32, 0.002, watch)
    (row,) = bench.rows("swiglu")
    assert row.triton == timing([0.1] * 3)
    assert row.nbytes == 32
    assert row.gbps == pytest.approx(32 / 0.1e-3 / 1e9)
    assert row.bandwidth_share == pytest.approx(0.16)
    assert row.speedup == 1.0
    assert (row.torch_fast, row.speedup_fast) == (None, None)
    assert len(launched) == 10


def test_a_failed_kernel_ends_with_an_error_after_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(catalog.KERNELS, "linear", doubling(RuntimeError, at_most=0))
    monkeypatch.setitem(catalog.KERNELS, "swiglu", doubling())
    assert main(["kernels", "linear", "swiglu"]) == 3
    out = capsys.readouterr().out
    assert "FAILED  RuntimeError: Too many rows." in out
    assert "double" in out


def test_the_table_has_times_rates_shares_and_errors() -> None:
    bench = Bench(Place("cuda", True), Effort(100, 10), torch.bfloat16, 3000.0, lambda _: 0.0)
    row = Row(
        "linear",
        "linear down",
        "[1, 8960] × [1536, 8960]",
        "bfloat16",
        nbytes=24_000_000,
        accuracy=Accuracy(0.02, 1e-6, 4.0, 0.0, 0.0),
        triton=even(0.010),
        torch=even(0.025),
        torch_fast=even(0.015),
        bandwidth_share=0.8,
    )
    spoilt = replace(row, case="other", accuracy=Accuracy(None, None, None, 0.5, 0.25))
    lines = table(bench, [row, spoilt]).splitlines()
    figures = ["10.0", "25.0", "2.50", "15.0", "1.50", "2,400", "80", "%", "5.0e-03", "0", "%"]
    assert lines[1].split() == ["linear", "down", *figures]
    assert lines[2].strip() == "[1, 8960] × [1536, 8960]"
    assert lines[3].split()[-3:] == ["–", "50", "%"]
    assert "25.00% NOT FINITE" in lines[4]
    assert "median of 100 runs after 10 warm-ups" in lines[5]
    assert "3,000 GB/s" in lines[5]


@pytest.mark.usefixtures("compiled_nowhere")
def test_without_a_kernel_the_references_are_timed_still() -> None:
    found = benchmark_bk_core(2, 9, runs=2, warmup=1)
    assert found.scan
    assert found.serial
    assert (found.triton, found.accuracy, found.speedup) == (None, None, None)
    assert found.skipped == NO_GPU


@pytest.mark.usefixtures("compiled_nowhere")
def test_files_are_written_beside_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        target = str(tmp_path / "mine.json")
        assert main(["kernels", "swiglu", "--json", target, "--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"mine.json", "mine-2.json", "kernels.json", "kernels-2.json"}
    assert "written: " in capsys.readouterr().err
