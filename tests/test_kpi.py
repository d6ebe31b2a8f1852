from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenhud.__main__ import main
from tokenhud.engines import kpi_runs
from tokenhud.engines.events import EngineError
from tokenhud.engines.kpi import GB, Memory, batch_logits, measure_memory, measure_throughput
from tokenhud.engines.kpi_runs import Outcome, memory_kpi
from tokenhud.engines.kv_cache import KvCache
from tokenhud.engines.llama import Llama, forward, logits
from tokenhud.engines.random_model import QWEN, random_model
from tokenhud.engines.verdicts import (
    BK_ERROR,
    BK_SPEED,
    MEMORY,
    THROUGHPUT,
    Kpi,
    Verdict,
    exit_status,
    judge,
)
from tokenhud.kernels.bench.conditions import Effort

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


@pytest.mark.parametrize(
    ("kpi", "value", "status"),
    [
        (BK_SPEED, 3.0, "PASS"),
        (BK_SPEED, 2.99, "FAIL"),
        (BK_ERROR, 9.9e-7, "PASS"),
        (BK_ERROR, 1e-6, "FAIL"),
        (BK_ERROR, math.nan, "FAIL"),
        (BK_ERROR, None, "FAIL"),
        (MEMORY, 7.99, "PASS"),
        (MEMORY, 8.0, "FAIL"),
        (THROUGHPUT, 100.0, "PASS"),
        (THROUGHPUT, 99.9, "WARN"),
    ],
)
def test_a_measurement_is_judged_by_its_target(kpi: Kpi, value: float, status: str) -> None:
    verdict = judge(kpi, value)
    assert verdict.status == status
    assert verdict.measured is None or math.isfinite(verdict.measured)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ({"PASS", "SKIPPED", "WARN"}, 0),
        ({"PASS", "FAIL", "WARN"}, 1),
        ({"FAIL", "ERROR"}, 3),
        (set(), 0),
    ],
)
def test_the_exit_status_is_of_the_worst(statuses: set[str], status: int) -> None:
    assert exit_status(statuses) == status


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


def test_memory_under_its_condition_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=4096, free_gb=80)
    outcome = memory_kpi()
    assert outcome.verdicts == (Verdict(MEMORY, "PASS", 4.0),)
    assert outcome.result == Memory(1, 4096, "torch.float16", "cuda", 4 * GB)


@pytest.mark.parametrize(("free_gb", "status"), [(80, "FAIL"), (4, "SKIPPED")])
def test_out_of_memory_tells_what_a_smaller_try_takes(
    monkeypatch: pytest.MonkeyPatch, free_gb: float, status: str
) -> None:
    scripted(monkeypatch, largest=1024, free_gb=free_gb)
    outcome = memory_kpi()
    told = "out of memory at batch 1, sequence 4096; measured at batch 1, sequence 1024: 1.00 GB"
    assert outcome == Outcome((Verdict(MEMORY, status, None, told),))


def test_an_error_is_a_verdict_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, largest=0, free_gb=80)

    def breaks(dtype: torch.dtype) -> None:
        raise RuntimeError(f"no {dtype}")

    monkeypatch.setattr(kpi_runs, "random_model", breaks)
    assert memory_kpi().verdicts == (
        Verdict(MEMORY, "ERROR", None, "RuntimeError: no torch.float16"),
    )


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_all_are_skipped_with_their_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["kpi"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
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
    outcome = Outcome((judge(MEMORY, too_much.gb),), too_much)
    monkeypatch.setattr(kpi_runs, "memory_kpi", lambda: outcome)
    assert main(["kpi", "memory", "--out", str(tmp_path)]) == 1
    record = json.loads((tmp_path / "phase2_memory_kpi.json").read_text())
    assert record["kpi_status"] == "FAIL"
    assert record["memory_gb"] == 9.0
    assert record["target_memory_gb"] == 8.0


def test_an_unknown_kpi_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kpi", "latency"]) == 3
    assert "There are: bk, memory, throughput." in capsys.readouterr().err


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.gpu
@NEEDS_GPU
def test_the_kpis_are_met_on_a_gpu() -> None:
    outcomes = [kpi_runs.bk_kpi(Effort(10, 2)), memory_kpi(), kpi_runs.throughput_kpi()]
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    assert {each.status for each in verdicts} == {"PASS"}, verdicts
