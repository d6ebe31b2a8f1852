from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenhud.__main__ import main
from tokenhud.engines import kpi_runs
from tokenhud.engines.events import EngineError
from tokenhud.engines.kpi import (
    GB,
    Memory,
    Throughput,
    batch_logits,
    measure_memory,
    measure_throughput,
)
from tokenhud.engines.kpi_runs import Outcome, Scaled, memory_kpi
from tokenhud.engines.kv_cache import KvCache
from tokenhud.engines.llama import Llama, forward, logits
from tokenhud.engines.measured import Measured
from tokenhud.engines.random_model import QWEN, random_model
from tokenhud.kernels.bench.conditions import Effort
from tokenhud.sessions.bench.judging import Key, judge_all
from tokenhud.sessions.bench.limits import packaged_limits, select
from tokenhud.sessions.results import memory_scaling_record, throughput_scaling_record

TINY = replace(
    QWEN,
    vocab_size=60,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    head_dim=8,
    rope=replace(QWEN.rope, dim=8),
)
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def model() -> Llama:
    return random_model(TINY, torch.float64, "cpu")


def test_a_random_model_has_the_shape_asked_for(model: Llama) -> None:
    layer = 32 * (32 + 32 + 3 * 48) + (32 + 32) * 1 + 2 * 16 * 32 + 32 + 2 * 16
    assert model.parameters() == 60 * 32 + 2 * layer + 32
    assert len(random_model(TINY, torch.float64, "cpu", layers=1).layers) == 1
    untied = random_model(replace(TINY, tie_word_embeddings=False), torch.float64, "cpu")
    assert untied.parameters() == model.parameters() + 60 * 32


def test_a_random_model_is_the_same_each_time(model: Llama) -> None:
    again = random_model(TINY, torch.float64, "cpu")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(batch_logits(model, ids), batch_logits(again, ids))


@pytest.mark.parametrize(("batch", "n"), [(1, 7), (3, 5), (4, 1)])
def test_texts_of_a_batch_do_not_see_each_other(model: Llama, batch: int, n: int) -> None:
    ids = torch.randint(60, (batch, n), generator=torch.Generator().manual_seed(0))
    for found, text in zip(batch_logits(model, ids), ids.tolist(), strict=True):
        cache = KvCache(TINY, torch.float64, "cpu", n)
        alone = logits(model, forward(model, text, cache.values, cache.row(0, n)))
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-12)


def test_throughput_is_all_tokens_over_the_summed_times(model: Llama) -> None:
    readings = count(start=0, step=500_000_000)  # half a second between any two
    found = measure_throughput(model, 2, 3, iterations=4, clock=lambda: next(readings))
    assert found.seconds == (0.5,) * 4
    assert found.tokens == 24
    assert found.rate == 12.0
    assert (found.batch, found.seq, found.dtype, found.device) == (2, 3, "float64", "cpu")


def test_peak_memory_needs_a_gpu_and_the_dtype_that_is_held(model: Llama) -> None:
    with pytest.raises(EngineError, match="measured on a CUDA device"):
        measure_memory(model, 1, 4, torch.float64)
    with pytest.raises(EngineError, match="held in float64, not in float16"):
        measure_memory(model, 1, 4, torch.float16)


def scripted(monkeypatch: pytest.MonkeyPatch, largest: int, free_gb: float) -> None:
    """A device on which a text of more than `largest` tokens does not fit."""

    def measured(_: Any, batch: int, seq: int, dtype: torch.dtype) -> Memory:
        if seq > largest:
            raise torch.OutOfMemoryError
        return Memory(batch, seq, str(dtype), "cuda", seq * GB // 1024)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    free = int(free_gb * GB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
    monkeypatch.setattr(kpi_runs, "random_model", lambda dtype: dtype)
    monkeypatch.setattr(kpi_runs, "measure_memory", measured)


def status(outcome: Outcome) -> str:
    """What the packaged limits say of a run of the memory KPI."""
    found = {Key(metric): each for metric, each in outcome.figures.items()}
    (verdict,) = judge_all(select(packaged_limits(), ["memory_gb"]), found)
    return verdict.status


def test_memory_under_its_condition_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=4096, free_gb=80)
    outcome = memory_kpi()
    assert outcome.figures == {"memory_gb": Measured(4.0)}
    assert outcome.result == Memory(1, 4096, "torch.float16", "cuda", 4 * GB)
    assert status(outcome) == "PASS"


@pytest.mark.parametrize(("free_gb", "judged"), [(80, "FAIL"), (4, "SKIPPED")])
def test_out_of_memory_tells_what_a_smaller_try_takes(
    monkeypatch: pytest.MonkeyPatch, free_gb: float, judged: str
) -> None:
    scripted(monkeypatch, largest=1024, free_gb=free_gb)
    outcome = memory_kpi()
    told = "out of memory at batch 1, sequence 4096; measured at batch 1, sequence 1024: 1.00 GB"
    assert outcome == Outcome({"memory_gb": Measured(None, told, free_gb)})
    assert status(outcome) == judged


def test_an_error_is_a_verdict_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=0, free_gb=80)

    def breaks(dtype: torch.dtype) -> None:
        raise RuntimeError(f"no {dtype}")

    monkeypatch.setattr(kpi_runs, "random_model", breaks)
    outcome = memory_kpi()
    told = Measured(None, "RuntimeError: no torch.float16", failed=True)
    assert outcome.figures == {"memory_gb": told}
    assert status(outcome) == "ERROR"


def test_a_series_by_size_notes_where_less_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=2048, free_gb=80)
    found = kpi_runs.memory_scaling()
    sizes = [(each.result.batch, each.result.seq) for each in found]
    assert sizes == [(1, 512), (1, 1024), (1, 2048), (1, 2048), (2, 512), (4, 512), (8, 512)]
    assert [bool(each.note) for each in found] == [False] * 3 + [True] + [False] * 3
    records = memory_scaling_record(found, {"timestamp": "now"})
    assert [each["memory_gb"] for each in records["measurements"][:4]] == [0.5, 1.0, 2.0, 2.0]
    assert "out of memory at batch 1, sequence 4096" in records["measurements"][3]["note"]
    assert records["timestamp"] == "now"


def test_a_series_ends_where_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=0, free_gb=80)
    assert kpi_runs.memory_scaling() == []
    assert throughput_scaling_record([], {}) == {"measurements": [], "scales": None}


@pytest.mark.parametrize(("last", "scales"), [(0.5, True), (5.0, False)])
def test_throughput_scales_where_a_larger_batch_is_faster(last: float, scales: bool) -> None:
    found = [
        Scaled(Throughput(1, 512, "float16", "cuda", (0.5,)), ""),
        Scaled(Throughput(2, 512, "float16", "cuda", (last,)), ""),
    ]
    record = throughput_scaling_record(found, {})
    assert record["scales"] is scales
    assert [each["forward_throughput"] for each in record["measurements"]] == [1024, 1024 / last]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_all_are_skipped_with_their_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["kpi"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(packaged_limits())
    assert all(line.startswith("SKIPPED") and "run tokenhud " in line for line in lines[4:])
    del lines[4:]
    assert all(line.startswith("SKIPPED") and "no CUDA device" in line for line in lines)
    for part in ("≥ 3.00×", "< 1.00e-06", "< 8.00 GB", "≥ 100.0 tok/s", "batch 16, N 4096"):
        assert any(part in line for line in lines)


@pytest.mark.usefixtures("no_gpu")
def test_verdicts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kpi", "throughput", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["kpi_status"] == "SKIPPED"
    assert (found["target"], found["measured"]) == (100.0, None)


def test_a_missed_kpi_is_the_exit_status_and_its_file_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    too_much = Memory(1, 4096, "float16", "cuda", 9 * GB)
    outcome = Outcome({"memory_gb": Measured(too_much.gb)}, too_much)
    monkeypatch.setattr(kpi_runs, "memory_kpi", lambda: outcome)
    monkeypatch.setattr(kpi_runs, "memory_scaling", lambda: [Scaled(too_much, "")])
    assert main(["kpi", "memory", "--out", str(tmp_path)]) == 1
    series = json.loads((tmp_path / "phase2_memory_scaling.json").read_text())
    assert [each["memory_gb"] for each in series["measurements"]] == [9.0]
    record = json.loads((tmp_path / "phase2_memory_kpi.json").read_text())
    assert record["kpi_status"] == "FAIL"
    assert record["memory_gb"] == 9.0
    assert record["target_memory_gb"] == 8.0


def test_an_unknown_kpi_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kpi", "latency"]) == 3
    assert "There are: bk, memory, throughput, bk_speedup," in capsys.readouterr().err


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.gpu
@NEEDS_GPU
def test_the_kpis_are_met_on_a_gpu() -> None:
    outcomes = [kpi_runs.bk_kpi(Effort(10, 2)), memory_kpi(), kpi_runs.throughput_kpi()]
    figures = {
        Key(metric): each for outcome in outcomes for metric, each in outcome.figures.items()
    }
    verdicts = judge_all(select(packaged_limits(), [key.metric for key in figures]), figures)
    assert len(verdicts) == 4
    assert {each.status for each in verdicts} == {"PASS"}, verdicts


@pytest.mark.gpu
@NEEDS_GPU
def test_a_larger_batch_is_faster_on_a_gpu() -> None:
    record = throughput_scaling_record(kpi_runs.throughput_scaling(), {})
    assert [each["batch_size"] for each in record["measurements"]] == [1, 2, 4, 8]
    memory = [each.result.nbytes for each in kpi_runs.memory_scaling()[:4]]
    assert memory == sorted(memory)
