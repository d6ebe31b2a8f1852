from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.gemma3.modeling_gemma3 import Gemma3DecoderLayer

from tokenhud.engines.drafters import Drafter, Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.hf import HfTarget, open_hf
from tokenhud.engines.lookup import Lookup
from tokenhud.engines.loop import Fixed, decode, prefill
from tokenhud.engines.native import NativeTarget, open_native
from tokenhud.engines.options import Sampling

from .tiny import Oracle
from .tiny_models import CONTEXT, VOCAB, WINDOW, Peer, near, words

WHOLE = ["gpt2", "neox", "bloom", "opt", "qwen3", "phi3", "gemma3", "llama4"]
RUNNING = ["mamba", "lfm2"]
WITHOUT = ["rwkv"]  # no cache that a target could hold
OPEN: dict[str, Callable[..., NativeTarget | HfTarget]] = {"native": open_native, "hf": open_hf}
TARGETS = [("native", "llama"), *[("hf", name) for name in (*WHOLE, *RUNNING, *WITHOUT)]]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Peer]:
    made: dict[str, Peer] = {}

    def one(name: str) -> Peer:
        if name not in made:
            made[name] = Peer(name, tmp_path_factory.mktemp(name))
        return made[name]

    return one


@pytest.fixture(scope="module")
def opened(peer) -> Callable[[str, str], NativeTarget | HfTarget]:
    """Opened once: a target must answer rightly whatever it was asked before."""
    made: dict[tuple[str, str], NativeTarget | HfTarget] = {}

    def one(kind: str, name: str) -> NativeTarget | HfTarget:
        if (kind, name) not in made:
            made[kind, name] = OPEN[kind](peer(name).folder, "float64", "cpu", CONTEXT, 1)
        return made[kind, name]

    return one


Edit = tuple[int, list[int], bool, int]
EDIT = st.tuples(
    st.integers(0, CONTEXT),  # kept of the text before
    st.lists(st.integers(0, VOCAB - 1), max_size=2 * WINDOW),
    st.booleans(),  # whether what stood behind that is kept
    st.integers(0, 9),  # rows
)


@pytest.mark.parametrize(("kind", "name"), TARGETS)
@settings(max_examples=12, deadline=None)
@given(edits=st.lists(EDIT, min_size=2, max_size=6))
def test_any_list_gives_the_logits_of_one_pass_over_it(
    opened, peer, kind: str, name: str, edits: list[Edit]
) -> None:
    target, tokens = opened(kind, name), words(3 * WINDOW)
    for keep, new, tail, last in edits:
        rest = tokens[keep + len(new) :] if tail else []
        tokens = [*tokens[:keep], *new, *rest][:CONTEXT]
        last = min(last, len(tokens))
        known = target.cached(tokens)
        assert 0 <= known < max(len(tokens), 1)
        rows = target.logits(tokens, last)
        assert rows.shape == (last, VOCAB)
        if last:
            near(rows, peer(name).logits(tokens)[-last:])
        assert target.cached([*tokens, 0]) == (0 if name in WITHOUT else len(tokens))


@pytest.mark.parametrize(("kind", "name"), TARGETS)
@pytest.mark.parametrize("chunk", [1, WINDOW + 3])
def test_a_prompt_in_chunks_gives_the_same_logits(opened, peer, kind, name, chunk):
    target, tokens = opened(kind, name), words(4 * WINDOW, seed=chunk)
    target.logits([], 0)
    done = list(prefill(target, tokens, chunk))
    assert done == list(range(chunk, len(tokens), chunk))
    near(target.logits(tokens, 1), peer(name).logits(tokens)[-1:])


@pytest.mark.parametrize(("kind", "name"), TARGETS)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_no_drafter_changes_the_text(opened, peer, kind, name, temperature):
    prompt = words(WINDOW + 2, seed=7)
    sampling = Sampling(temperature=temperature, seed=5)

    def said(target, drafter: Drafter, gamma: int) -> tuple[list[int], int]:
        drafter.begin(prompt, sampling)
        blocks = list(decode(target, drafter, prompt, sampling, Fixed(gamma), (), 2 * WINDOW))
        return [token for block in blocks for token in block.tokens], sum(
            block.accepted for block in blocks
        )

    truth, _ = said(Fresh(peer(name)), Plain(), 1)
    target = opened(kind, name)
    assert said(target, Plain(), 1) == (truth, 0)
    for gamma in (1, 5):
        lies = frozenset(range(2, 2 * WINDOW, 3))
        for drafter in (Guesses(truth, len(prompt)), Guesses(truth, len(prompt), lies), Lookup()):
            assert said(target, drafter, gamma)[0] == truth
    assert said(target, Guesses(truth, len(prompt), frozenset(range(99))), 3) == (truth, 0)


class Guesses(Oracle):
    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        return [token % VOCAB for token in super().propose(tokens, k)]


class Fresh:
    """A target without a cache."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def logits(self, tokens: Sequence[int], last: int) -> Any:
        return self.peer.logits(tokens)[len(tokens) - last :]

    def cached(self, tokens: Sequence[int]) -> int:  # noqa: ARG002
        return 0


@pytest.mark.parametrize("name", [*WHOLE, *WITHOUT])
def test_drafts_can_be_checked(opened, name):
    assert opened("hf", name).no_rollback == ""


@pytest.mark.parametrize("name", RUNNING)
def test_a_running_state_is_said_to_be_in_the_way_of_drafts(opened, name):
    target, tokens = opened("hf", name), words(12)
    assert target.no_rollback.startswith(f"{name} keeps a running state")
    target.logits(tokens, 1)
    assert target.cached([*tokens, 1]) == 12
    assert target.cached([*tokens[:6], 1 + max(tokens), 2]) == 0


def test_a_failed_pass_leaves_a_true_cache(opened, peer):
    for name in ("qwen3", "lfm2"):
        target, tokens = opened("hf", name), words(10)
        target.logits(tokens, 1)
        with pytest.raises(IndexError):
            target.logits([*tokens, 3, VOCAB], 1)
        assert target.cached(tokens) == 0
        near(target.logits(tokens, 1), peer(name).logits(tokens)[-1:])


def test_a_pass_interrupted_between_two_layers_leaves_a_true_cache(opened, peer, monkeypatch):
    target, tokens = opened("hf", "gemma3"), words(20)
    target.logits(tokens[:9], 1)
    forward = Gemma3DecoderLayer.forward

    def interrupted(layer, *given, **named):
        if layer.self_attn.layer_idx == 2:
            raise KeyboardInterrupt
        return forward(layer, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Gemma3DecoderLayer, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            target.logits(tokens, 1)
    near(target.logits(tokens, 5), peer("gemma3").logits(tokens)[-5:])


def test_figures_are_those_of_the_model(peer):
    model = peer("qwen3").model
    target = open_hf(peer("qwen3").folder, "float64", "cpu", CONTEXT, 1)
    assert (target.vocabulary, target.context) == (VOCAB, CONTEXT)
    assert target.parameters == model.num_parameters()
    assert target.memory()["kv_cache"] == 0
    assert 8 * target.parameters <= target.memory()["weights"] <= 8.1 * target.parameters
    a_position = 3 * 2 * 2 * 8 * 8  # layers, keys and values, heads, head_dim, bytes
    target.logits(words(12), 1)
    assert target.memory()["kv_cache"] == 12 * a_position
    target.close()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_other_number_formats_give_nearly_the_same(peer, dtype, tolerance):
    for name in ("gpt2", "gemma3", "mamba"):
        target, tokens = open_hf(peer(name).folder, dtype, "cpu", CONTEXT, 1), words(20)
        target.logits(tokens[:12], 0)
        rows = target.logits(tokens, 3)
        assert rows.dtype == "float32"
        near(rows, peer(name).logits(tokens)[-3:], tolerance)


def test_nothing_is_printed(peer, capfd):
    for name in ("mamba", "gpt2"):  # one warns of a slow path, the other shows a progress bar
        open_hf(peer(name).folder, "float32", "cpu", CONTEXT, 1).logits(words(9), 2)
    assert capfd.readouterr() == ("", "")


def test_a_text_longer_than_the_context_is_refused(opened):
    with pytest.raises(EngineError, match=r"65 tokens.*context of 64"):
        opened("hf", "opt").logits(words(65), 1)


def test_learned_positions_end_where_they_end(peer):
    with pytest.raises(EngineError, match="has 64 positions, not 65"):
        open_hf(peer("gpt2").folder, "float32", "cpu", 65, 1)
    assert open_hf(peer("gpt2").folder, "float32", "cpu", None, 1).context == 64
    assert open_hf(peer("qwen3").folder, "float32", "cpu", 65, 1).context == 65


GPTQ = {"quant_method": "gptq", "bits": 4}


def copied(folder: Path, to: Path, **changes: Any) -> Path:
    """A checkpoint with other settings."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "config.json").read_text()) | changes
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("bert", {}, "bert reads a text in both directions"),
        ("t5", {}, r"an encoder-decoder model \(t5\)"),
        ("gpt2", {"model_type": "gpt99"}, r"transformers [\d.]+ cannot run copy.*gpt99"),
        ("gpt2", {"model_type": "vit"}, "no causal language model of the type vit"),
        ("gpt2", {"n_layer": 3}, r"lacks the weights transformer\.h\.2"),
        ("gpt2", {"n_inner": 5}, "another shape than its config says.*mlp"),
        ("qwen3", {"quantization_config": GPTQ}, "quantised with gptq"),
        ("qwen3", {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine"}}, "cannot run"),
        ("mixtral", {}, "cannot run in float64 on cpu"),
    ],
)
def test_what_would_be_wrong_is_refused_by_name(tmp_path, peer, name, changes, said):
    folder = copied(peer(name).folder, tmp_path / "copy", **changes)
    with pytest.raises(EngineError, match=said) as refusal:
        open_hf(folder, "float64", "cpu", None, 1)
    assert "\n" not in refusal.value.what


def test_damaged_weights_are_named(tmp_path, peer):
    folder = copied(peer("gpt2").folder, tmp_path / "copy")
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(EngineError, match=r"model\.safetensors cannot be read"):
        open_hf(folder, "float32", "cpu", None, 1)


def test_weights_beyond_the_memory_are_refused_before_they_are_read(peer, monkeypatch):
    size = 4 * peer("qwen3").model.num_parameters()
    for free, fits in ((size + 1000, True), (size - 1000, False)):
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))  # noqa: B023
        if fits:
            open_hf(peer("qwen3").folder, "float32", "cpu", None, 1)
        else:
            with pytest.raises(EngineError, match="do not fit into the memory of cpu"):
                open_hf(peer("qwen3").folder, "float32", "cpu", None, 1)


@pytest.mark.parametrize("failure", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_ends_while_loading_is_said(peer, monkeypatch, failure):
    def fails(*_, **__):
        raise failure

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", fails)
    with pytest.raises(EngineError, match="do not fit into the memory of cpu"):
        open_hf(peer("gpt2").folder, "float32", "cpu", None, 1)


def test_a_missing_or_old_transformers_is_a_sentence(peer, monkeypatch):
    folder = peer("gpt2").folder
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        with pytest.raises(EngineError, match="not installed") as missing:
            open_hf(folder, "float32", "cpu", None, 1)
    assert missing.value.remedy == 'Run: pip install "tokenhud[hf]"'
    monkeypatch.setattr("transformers.__version__", "5.9.1")
    with pytest.raises(EngineError, match=r"5\.9\.1 is installed.*5\.17 or newer"):
        open_hf(folder, "float32", "cpu", None, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named(peer):
    with pytest.raises(EngineError, match="no CUDA device"):
        open_hf(peer("gpt2").folder, "float32", "cuda", None, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["gemma3", "gpt2", "lfm2"])
def test_a_gpu_gives_the_same_logits(peer, name):
    target, tokens = open_hf(peer(name).folder, "float64", "cuda", CONTEXT, None), words(40)
    near(target.logits(tokens[:30], 30), peer(name).logits(tokens[:30]))
    near(target.logits(tokens, 1), peer(name).logits(tokens)[-1:])
    target.close()
