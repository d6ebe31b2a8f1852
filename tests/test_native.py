from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.test_rope import LLAMA3, LONGROPE
from tokenhud.engines.catalog import checkpoint
from tokenhud.engines.drafters import Drafter, Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.loop import Fixed, decode, prefill
from tokenhud.engines.native import NativeTarget, open_native
from tokenhud.engines.options import Sampling

VOCAB, CONTEXT = 61, 48
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}


def llama(**changed: Any) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**{**SHAPE, **changed}))


def roped(**parameters: Any) -> LlamaForCausalLM:
    return llama(rope_parameters={"rope_theta": 5000.0, **parameters})


MODELS: dict[str, Callable[[], Any]] = {
    "llama untied": llama,
    "llama tied": lambda: llama(tie_word_embeddings=True, num_key_value_heads=3),
    "llama deep": lambda: llama(num_hidden_layers=4),
    "llama biased": lambda: llama(attention_bias=True, mlp_bias=True, head_dim=10),
    "qwen2 tied": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            **{**SHAPE, "num_key_value_heads": 6, "head_dim": 8, "tie_word_embeddings": True}
        )
    ),
    "qwen2 grouped": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=None)),
    "linear": lambda: roped(rope_type="linear", factor=3.0),
    "dynamic": lambda: roped(rope_type="dynamic", factor=3.0),
    "llama3": lambda: roped(rope_type="llama3", original_max_position_embeddings=16, **LLAMA3),
    "yarn": lambda: roped(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
    "longrope": lambda: roped(
        rope_type="longrope", original_max_position_embeddings=CONTEXT, **LONGROPE
    ),
}


class Peer:
    """A tiny random model of transformers, its folder, and its logits as the truth."""

    def __init__(self, name: str, folder: Path) -> None:
        torch.manual_seed(11)
        self.folder = folder
        self.model = _in_full_precision(MODELS[name]().double().eval())
        for weight in self.model.parameters():  # biases are made zero and norms one
            torch.nn.init.normal_(weight, mean=float(weight.dim() == 1), std=0.3)
        self.model.save_pretrained(folder)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        with torch.inference_mode():
            rows: NDArray[np.float64] = self.model(torch.tensor([tokens])).logits[0].numpy()
        return rows

    def open(self, dtype: str = "float64", context: int = CONTEXT) -> NativeTarget:
        return open_native(self.folder, dtype, "cpu", context, threads=1)


def _in_full_precision(model: Any) -> Any:
    """transformers rounds every norm to float32, also in a float64 model."""
    for owner in [*model.model.layers, model.model]:
        for name, norm in list(owner.named_children()):
            if name.endswith("norm"):
                exact = torch.nn.RMSNorm(norm.weight.shape, norm.variance_epsilon)
                setattr(owner, name, exact.double())
    return model


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Peer]:
    made: dict[str, Peer] = {}

    def peer(name: str) -> Peer:
        if name not in made:
            made[name] = Peer(name, tmp_path_factory.mktemp(name.replace(" ", "_")))
        return made[name]

    return peer


def words(length: int, seed: int = 0) -> list[int]:
    return [int(word) for word in np.random.default_rng(seed).integers(VOCAB, size=length)]


def near(ours: NDArray[Any], truth: NDArray[np.float64], tolerance: float) -> None:
    assert ours.shape == truth.shape
    assert np.abs(ours - truth).max() < tolerance * np.abs(truth).max()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float64", 1e-9), ("float32", 1e-4), ("bfloat16", 0.2), ("float16", 0.03)],
)
def test_prefill_and_single_tokens_give_the_logits_of_transformers(
    peers: Callable[[str], Peer], name: str, dtype: str, tolerance: float
) -> None:
    peer, tokens = peers(name), words(40)
    truth, target = peer.logits(tokens), peer.open(dtype)
    near(target.logits(tokens[:30], 30), truth[:30], tolerance)
    for end in range(31, 41):
        near(target.logits(tokens[:end], 1), truth[end - 1 : end], tolerance)


@pytest.mark.parametrize("block", range(2, 10))
def test_blocks_give_the_same_rows(peers: Callable[[str], Peer], block: int) -> None:
    peer, tokens = peers("llama biased"), words(36)
    truth, target = peer.logits(tokens), peer.open()
    for end in range(block, 37, block):
        near(target.logits(tokens[:end], block), truth[end - block : end], 1e-9)


def test_long_factors_serve_a_context_beyond_the_original(tmp_path: Path) -> None:
    peer, tokens = Peer("longrope", tmp_path), words(CONTEXT + 8)
    target = peer.open(context=64)
    target.logits(tokens[:10], 0)
    near(target.logits(tokens, 30), peer.logits(tokens)[-30:], 1e-9)


Edit = tuple[int, list[int], int]
WORDS = st.lists(st.integers(0, VOCAB - 1), max_size=9)
EDIT = st.tuples(st.integers(0, CONTEXT), WORDS, st.integers(0, 9))


@settings(max_examples=40, deadline=None)
@given(edits=st.lists(EDIT, min_size=2, max_size=8), tail=st.booleans())
def test_the_cache_follows_any_edit(
    peers: Callable[[str], Peer], edits: list[Edit], tail: bool
) -> None:
    peer = peers("qwen2 grouped")
    target, tokens = peer.open(), words(12)
    for keep, new, last in edits:
        rest = tokens[keep + len(new) :] if tail else []  # an edit of the middle, or of the end
        tokens = [*tokens[:keep], *new, *rest][:CONTEXT]
        last = min(last, len(tokens))
        known = target.cached(tokens)
        rows = target.logits(tokens, last)
        assert known < max(len(tokens), 1)
        if last:
            near(rows, peer.logits(tokens)[-last:], 1e-9)
        assert target.cached([*tokens, 0]) == len(tokens)


def test_cached_counts_the_shared_prefix_but_never_all(peers: Callable[[str], Peer]) -> None:
    target, tokens = peers("llama tied").open(), words(10)
    assert target.cached(tokens) == target.cached([]) == 0
    target.logits(tokens, 1)
    assert target.cached(tokens) == 9
    assert target.cached([*tokens[:4], tokens[4] + 1, *tokens[5:]]) == 4
    assert target.cached(tokens[:6]) == 5
    target.logits([], 0)
    assert target.cached(tokens) == 0


def test_filling_the_cache_returns_no_rows(peers: Callable[[str], Peer]) -> None:
    peer, tokens = peers("llama tied"), words(10)
    target = peer.open()
    assert target.logits(tokens, 0).shape == target.logits(tokens, 0).shape == (0, VOCAB)
    assert target.cached([*tokens, 1]) == 10
    near(target.logits(tokens, 10), peer.logits(tokens), 1e-9)  # rows of tokens already held


def test_a_failed_pass_leaves_a_true_cache(peers: Callable[[str], Peer]) -> None:
    peer, tokens = peers("llama tied"), words(10)
    target = peer.open()
    target.logits(tokens, 1)
    with pytest.raises(IndexError):
        target.logits([*tokens[:5], 3, VOCAB], 1)
    assert target.cached(tokens) == 5
    near(target.logits(tokens, 1), peer.logits(tokens)[-1:], 1e-9)


class Shifted(Plain):
    """Proposes the same answer, shifted by `wrong`, wherever the text stands."""

    def __init__(self, answer: Sequence[int], start: int, wrong: int) -> None:
        self.answer, self.start, self.wrong = answer, start, wrong

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        at = len(tokens) - self.start
        return [(token + self.wrong) % VOCAB for token in self.answer[at : at + k]]


@pytest.mark.parametrize("name", ["llama untied", "qwen2 grouped"])
@pytest.mark.parametrize("gamma", [1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_drafts_right_or_wrong_change_no_token(
    peers: Callable[[str], Peer], name: str, gamma: int, temperature: float
) -> None:
    target, prompt = peers(name).open(), words(9)
    sampling = Sampling(temperature=temperature, seed=5)

    def answer(drafter: Drafter) -> tuple[list[int], int, int]:
        blocks = list(decode(target, drafter, prompt, sampling, Fixed(gamma), (), 30))
        said = [token for block in blocks for token in block.tokens]
        return said, sum(b.drafted for b in blocks), sum(b.accepted for b in blocks)

    plain, _, _ = answer(Plain())
    said, drafted, accepted = answer(Shifted(plain, len(prompt), 0))
    assert (said, accepted) == (plain, drafted)
    said, _, accepted = answer(Shifted(plain, len(prompt), 1))
    assert (said, accepted) == (plain, 0)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_prompt_in_chunks_gives_the_same_logits(peers: Callable[[str], Peer], chunk: int) -> None:
    peer, tokens = peers("llama biased"), words(30)
    target = peer.open()
    done = list(prefill(target, tokens, chunk))
    assert done == list(range(chunk, 30, chunk))
    near(target.logits(tokens, 1), peer.logits(tokens)[-1:], 1e-9)


def test_a_text_longer_than_the_context_is_refused(peers: Callable[[str], Peer]) -> None:
    target = peers("llama tied").open(context=20)
    target.logits(words(20), 1)
    with pytest.raises(EngineError, match=r"21 tokens.*context of 20"):
        target.logits(words(21), 1)


def test_a_cache_beyond_all_memory_is_refused(peers: Callable[[str], Peer]) -> None:
    with pytest.raises(EngineError, match="no memory for a cache"):
        peers("llama tied").open(context=10**13)


def test_figures_are_those_of_the_model(peers: Callable[[str], Peer]) -> None:
    for name in ("llama tied", "qwen2 grouped"):
        peer = peers(name)
        target = peer.open("float64")
        assert target.parameters == peer.model.num_parameters()
        assert target.memory() == {"weights": 8 * target.parameters, "kv_cache": 0}
        assert (target.vocabulary, target.context) == (VOCAB, CONTEXT)


def test_cache_memory_is_what_was_written(peers: Callable[[str], Peer]) -> None:
    target = peers("llama tied").open("float32")
    a_position = 2 * 2 * 3 * 16 * 4  # layers, keys and values, heads, head_dim, bytes
    target.logits(words(12), 1)
    target.logits(words(5), 1)
    assert target.memory()["kv_cache"] == 12 * a_position


def test_the_default_context_is_the_trained_one(peers: Callable[[str], Peer]) -> None:
    assert open_native(peers("llama tied").folder, "float32", "cpu", None, 1).context == 64


def test_threads_are_set(peers: Callable[[str], Peer]) -> None:
    before = torch.get_num_threads()
    open_native(peers("llama tied").folder, "float32", "cpu", 16, threads=1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_sharded_weights_are_read(tmp_path: Path, peers: Callable[[str], Peer]) -> None:
    peer, tokens = peers("llama untied"), words(8)
    peer.model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    target = open_native(tmp_path, "float64", "cpu", CONTEXT, 1)
    near(target.logits(tokens, 8), peer.logits(tokens), 1e-9)


def edited(folder: Path, peer: Peer, **changes: Any) -> Path:
    """A copy of the checkpoint with other settings; None removes one."""
    peer.model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def test_the_older_spelling_of_rope_is_read(tmp_path: Path, peers: Callable[[str], Peer]) -> None:
    peer, tokens = peers("linear"), words(20)
    older = {"rope_scaling": {"type": "linear", "factor": 3.0}, "rope_theta": 5000.0}
    folder = edited(tmp_path, peer, rope_parameters=None, **older)
    target = open_native(folder, "float64", "cpu", CONTEXT, 1)
    near(target.logits(tokens, 20), peer.logits(tokens), 1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "architecture is GPT2LMHeadModel"),
        ({"architectures": []}, "architecture is none"),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 32}, "sliding window"),
        ({"architectures": ["MistralForCausalLM"]}, "sliding window"),
        ({"architectures": ["Qwen2ForCausalLM"], "use_sliding_window": True}, "sliding window"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "type linear_attention"),
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope type is spiral"),
        ({"partial_rotary_factor": 0.5}, "only part of each head"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised"),
        ({"hidden_size": None}, "lacks 'hidden_size'"),
        ({"num_hidden_layers": 3}, r"lack the weights model.layers.2"),
    ],
)
def test_what_would_be_wrong_is_refused_by_name(
    tmp_path: Path, peers: Callable[[str], Peer], changes: dict[str, Any], said: str
) -> None:
    folder = edited(tmp_path, peers("llama tied"), **changes)
    with pytest.raises(EngineError, match=said):
        open_native(folder, "float32", "cpu", None, 1)


def test_damaged_weights_are_named(tmp_path: Path, peers: Callable[[str], Peer]) -> None:
    folder = edited(tmp_path, peers("llama tied"))
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(EngineError, match=r"model\.safetensors cannot be read"):
        open_native(folder, "float32", "cpu", None, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named(peers: Callable[[str], Peer]) -> None:
    with pytest.raises(EngineError, match="no CUDA device"):
        open_native(peers("llama tied").folder, "float32", "cuda", None, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_logits(peers: Callable[[str], Peer]) -> None:
    peer, tokens = peers("llama biased"), words(40)
    target, truth = open_native(peer.folder, "float64", "cuda", CONTEXT, None), peer.logits(tokens)
    near(target.logits(tokens[:30], 30), truth[:30], 1e-9)
    near(target.logits(tokens, 1), truth[-1:], 1e-9)
    assert target.memory()["kv_cache"] > 0
    target.close()


@pytest.mark.model
def test_the_embedded_model_agrees_with_transformers() -> None:
    folder = checkpoint("smollm2")
    tokens = [int(word) for word in np.random.default_rng(2).integers(49152, size=48)]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        truth = model(torch.tensor([tokens])).logits[0].double().numpy()
    target = open_native(folder, "float32", "cpu", 64, None)
    near(target.logits(tokens[:40], 40), truth[:40], 1e-4)
    near(target.logits(tokens[:44], 4), truth[40:44], 1e-4)
    near(target.logits(tokens[:45], 1), truth[44:45], 1e-4)
