from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tokenhud.engines import profile as module
from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Spec
from tokenhud.engines.pick import Logits
from tokenhud.engines.profile import NO_LAUNCH, NO_WEIGHTS, ROUNDS, UNSEEN, Profile, profile
from tokenhud.engines.profile_runs import profile_shape
from tokenhud.engines.shapes import SHAPES
from tokenhud.sessions.bench.judging import Key
from tokenhud.sessions.bench.measurements import read_values
from tokenhud.tui.headless.profile_report import profile_record, report_profile, table

PROMPT = [3, 1, 4]
SHAPE = SHAPES["qwen2.5-1.5b"] | {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Products:
    """A target of so many matrix products a token; the calls that it got."""

    def __init__(self, products: int) -> None:
        self.products = products
        self.calls: list[tuple[int, int]] = []
        self._matrix = torch.ones(64, 64)

    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        self.calls.append((len(tokens), last))
        for _ in range(self.products * last):
            torch.mm(self._matrix, self._matrix)
        return np.zeros((last, 5), np.float32)

    def cached(self, tokens: Sequence[int]) -> int:
        return len(tokens) - 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COPIED_ON_CPU", 1 << 20)


def test_the_calls_of_a_step_are_counted_by_name() -> None:
    found = profile(Products(3), PROMPT, steps=4)
    assert found.calls == 3
    assert [(each.name, each.calls) for each in found.top] == [("aten::mm", 3)]
    assert found.device == "cpu"
    assert len(found.wall) == ROUNDS
    assert found.summed == pytest.approx(found.top[0].seconds)
    assert found.busy == pytest.approx(found.summed)  # on one thread they do not overlap
    assert found.summed is not None
    assert found.busy is not None
    assert found.kernel_time == pytest.approx(found.summed / 3)
    assert found.utilisation == pytest.approx(found.busy / found.step)
    assert found.launch is found.launch_in_graph is found.traffic is None
    assert found.reasons == {"launch": NO_LAUNCH, "traffic": NO_WEIGHTS}


def test_every_step_is_one_token_and_every_round_the_same() -> None:
    target = Products(1)
    profile(target, PROMPT, steps=4)
    one = [(2, 0), (3, 1), (4, 1), (5, 1), (6, 1)]
    assert target.calls == one * (1 + 2 * ROUNDS)  # a warm-up, and two rounds at a time


def test_what_torch_does_not_compute_tells_its_time_alone() -> None:
    found = profile(Products(0), PROMPT, steps=2)
    assert found.step > 0
    assert (found.calls, found.utilisation, found.kernel_time, found.top) == (None, None, None, ())
    assert set(found.reasons.values()) == {UNSEEN}
    assert UNSEEN in table({"elsewhere": found})


def test_memory_traffic_is_an_estimate_from_the_weights_a_step_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Products(1)
    monkeypatch.setattr(target, "weights_read", 6_000_000, raising=False)
    monkeypatch.setattr(module, "bandwidth", lambda *_: 3.0)  # GB/s
    found = profile(target, PROMPT, steps=2)
    assert found.traffic == pytest.approx(0.002 / found.step)
    assert "traffic" not in found.reasons
    assert "estimate" in table({"x": found})


def launched(name: str, start: float, end: float, device: str = "CUDA") -> Any:
    return SimpleNamespace(
        name=name,
        device_type=SimpleNamespace(name=device),
        time_range=SimpleNamespace(start=start, end=end),
        cpu_parent=None,
    )


def test_kernels_of_a_device_count_and_may_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        launched("aten::linear", 0, 1000, "CPU"),
        launched("cudaGraphLaunch", 0, 900, "CPU"),
        launched("Context Sync", 0, 900),
        launched("product", 10, 40),
        launched("norm", 30, 50),  # begins before the product ends
        launched("norm", 35, 45),  # within the one before
        launched("product", 60, 90),
    ]

    class Profiler:
        def __init__(self, **_: Any) -> None: ...

        def __enter__(self) -> Profiler:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def events(self) -> list[Any]:
            return events

    monkeypatch.setattr("torch.profiler.profile", Profiler)
    monkeypatch.setattr(module, "launch_overhead", lambda: (2e-6, 1e-6))
    monkeypatch.setattr(module, "stopwatch", lambda _: None)
    monkeypatch.setattr(module, "bandwidth", lambda *_: 1.0)
    found = profile(Products(1), PROMPT, steps=2, device="cuda")
    assert found.calls == 2
    assert found.busy == pytest.approx(70e-6 / 2)
    assert found.summed == pytest.approx(90e-6 / 2)
    assert [(each.name, each.calls) for each in found.top] == [("product", 1), ("norm", 1)]
    assert (found.launch, found.launch_in_graph) == (2e-6, 1e-6)
    assert "2.00 µs for an empty kernel, 1.00 in a CUDA graph" in table({"x": found})


def test_random_weights_in_a_shape(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SHAPES, "tiny", SHAPE)
    spec = Spec(device="cpu", dtype="float32")
    assert report_profile(spec, "tiny", 8, 3, True, tmp_path) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["case"], row["method"], row["device"], row["steps"]) == (
        "decode",
        "native, torch",
        "cpu",
        3,
    )
    assert row["kernels"] > 2 * 5  # of two layers
    values = read_values(tmp_path)
    key = Key("utilisation", "decode", "native, torch")
    assert values[key].value == row["utilisation"]
    assert Key("launch_us", "decode", "native, torch") not in values  # not measured is no figure


def test_what_cannot_be_profiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", SHAPE)
    with pytest.raises(EngineError, match="not quantised"):
        profile_shape("tiny", Spec(device="cpu", quantize="int8"), 8, 3)
    with pytest.raises(EngineError, match="There is no shape huge"):
        report_profile(Spec(), "huge", 8, 3, False, None)
    with pytest.raises(EngineError, match="nothing to profile"):
        report_profile(Spec(), None, 8, 0, False, None)


def test_a_kernels_long_name_is_cut_and_cannot_reach_the_terminal() -> None:
    top = (module.Kernel("void \x1b[31m" + "x" * 999, 1.0, 1e-6),)
    found = Profile("cuda", 1, (1e-3,), 1.0, 1e-6, 1e-6, top)
    told = table({"x": found})
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) < 100


def test_the_document_names_every_field() -> None:
    record = profile_record({"x": profile(Products(1), PROMPT, 1)}, {})
    told = (Path(__file__).parents[1] / "docs" / "kernels.md").read_text(encoding="utf-8")
    names = {*record, *record["results"][0], *record["results"][0]["top"][0]}
    assert not {name for name in names if f"`{name}`" not in told}


@pytest.mark.gpu
@NEEDS_GPU
def test_the_kernels_of_a_cuda_graph_are_seen() -> None:
    found = profile_shape("qwen2.5-1.5b", Spec(dtype="bfloat16"), 64, 8)
    ours, torchs = found["native, our kernels"], found["native, torch"]
    layers = SHAPES["qwen2.5-1.5b"]["num_hidden_layers"]
    assert ours.calls is not None
    assert torchs.calls is not None
    assert 5 * layers < ours.calls < torchs.calls
    assert ours.launch is not None
    assert 0 < ours.launch < 1e-3
