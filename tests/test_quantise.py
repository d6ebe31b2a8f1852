from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tokenhud.engines.catalog import checkpoint
from tokenhud.engines.drafters import Drafter, Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.hf import HfTarget, open_hf
from tokenhud.engines.linear import Linear
from tokenhud.engines.lookup import Lookup
from tokenhud.engines.loop import Fixed, decode
from tokenhud.engines.native import NativeTarget, open_native
from tokenhud.engines.options import QUANTIZATIONS, Sampling
from tokenhud.kernels.quantised import Int4, Int8, dequantise

from .tiny import Oracle
from .tiny_models import SHAPE, Peer, words

FITTING = {  # what every kind of weights can hold
    **SHAPE,
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "num_hidden_layers": 2,
}
ERRORS = {"none": 1e-5, "bf16": 0.005, "int8": 0.012, "int4": 0.12, "nf4": 0.12}
OPEN: dict[str, Callable[..., NativeTarget | HfTarget]] = {"native": open_native, "hf": open_hf}


def error(rows: NDArray[Any], truth: NDArray[Any]) -> float:
    assert rows.shape == truth.shape
    return float(np.linalg.norm(rows - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """Weights of an ordinary size, so that an error of a matrix stays one of the logits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules["tests.tiny_models"].CONFIGS, "fitting", ("LlamaConfig", FITTING))
        made = Peer("fitting", tmp_path_factory.mktemp("fitting"))
    for weight in made.model.parameters():
        weight.data *= 0.5 if weight.dim() > 1 else 1
    made.model.save_pretrained(made.folder)
    return made


@pytest.fixture(scope="module")
def opened(peer) -> Callable[[str], NativeTarget]:
    made: dict[str, NativeTarget] = {}

    def one(quantize: str) -> NativeTarget:
        if quantize not in made:
            made[quantize] = open_native(peer.folder, "float32", "cpu", 64, 1, quantize)
        return made[quantize]

    return one


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("shape", [(64, 64), (96, 640), (528, 128)])
def test_products_are_nearly_those_of_the_whole_weight(quantize, dtype, shape):
    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(3)
    weight, bias, x = (
        torch.randn(*size, generator=generator).to(kind)
        for size in (shape, shape[:1], (70, shape[1]))
    )
    given = x.clone()
    linear = Linear(weight, bias, quantize)
    truth = (x.double() @ weight.double().T + bias.double()).numpy()
    rounding = 0.005 if dtype == "bfloat16" else 0
    for rows in (1, 5, 11, 12, 70):
        product = linear(x[:rows])
        assert product.dtype == kind
        assert error(product.double().numpy(), truth[:rows]) < ERRORS[quantize] + rounding
    assert torch.equal(x, given)


@pytest.mark.parametrize("quantize", ["bf16", "int8"])
@pytest.mark.parametrize("shape", [(61, 48), (63, 20), (7, 65), (1, 1)])
@pytest.mark.parametrize("rows", [1, 30])
def test_odd_shapes_are_no_exception(quantize, shape, rows):
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(*shape, generator=generator)
    x = torch.randn(rows, shape[1], generator=generator)
    product = Linear(weight, quantize=quantize)(x)
    assert error(product.numpy(), (x @ weight.T).numpy()) < 0.02


def test_a_row_of_zeros_stays_one():
    weight = torch.randn(64, 64)
    weight[5] = 0
    for quantize in QUANTIZATIONS:
        assert not Linear(weight, quantize=quantize)(torch.randn(3, 64))[:, 5].any()


def test_weights_of_four_bits_with_few_values_are_held_exactly():
    levels = torch.randint(0, 16, (64, 4, 32)).float()
    levels[..., :2] = torch.tensor([0.0, 15.0])
    weight = (levels * 0.25 - 1).flatten(1)
    x = torch.randint(-3, 4, (3, 128)).float()
    assert torch.equal(Linear(weight, quantize="int4")(x), (x @ weight.T).bfloat16().float())


def test_bytes_are_those_of_the_weights_held():
    weight, bias = torch.randn(128, 64), torch.randn(128)
    held = {name: Linear(weight, bias, name).nbytes - bias.nbytes for name in QUANTIZATIONS}
    count = weight.numel()
    assert held == {
        "none": 4 * count,
        "bf16": 2 * count,
        "int8": count + 2 * 128,
        "int4": count // 2 + 2 * 2 * count // 32,
        "nf4": count // 2 + 4 * count // 64,
    }
    assert {Linear(weight, bias, name).parameters for name in QUANTIZATIONS} == {count + 128}


@pytest.mark.parametrize(
    ("quantize", "limit"),
    [("none", 1e-5), ("bf16", 0.03), ("int8", 0.05), ("int4", 0.4), ("nf4", 0.4)],
)
def test_a_model_gives_nearly_the_same_logits(peer, opened, quantize, limit):
    tokens = words(40)
    truth, target = peer.logits(tokens), opened(quantize)
    target.logits([], 0)
    rows = [target.logits(tokens[:20], 20)]
    rows += [target.logits(tokens[:end], 5) for end in range(25, 41, 5)]
    assert error(np.concatenate(rows), truth) < limit


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
def test_memory_and_parameters_are_told(peer, opened, quantize):
    target, plain = opened(quantize), opened("none")
    assert target.parameters == plain.parameters == peer.model.num_parameters()
    if quantize == "none":
        assert target.notes == ()
    else:
        assert target.memory()["weights"] < 0.75 * plain.memory()["weights"]
        assert f"{quantize} weights" in target.notes[0]
    assert ("costs time" in "".join(target.notes)) == (quantize == "nf4")
    assert ("head int8" in "".join(target.notes)) == (quantize in ("int4", "nf4"))


class Guesses(Oracle):
    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        return [token % 64 for token in super().propose(tokens, k)]


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_no_drafter_changes_the_text(opened, quantize, temperature):
    target, prompt = opened(quantize), words(9)
    sampling = Sampling(temperature=temperature, seed=5)

    def said(drafter: Drafter, gamma: int) -> list[int]:
        drafter.begin(prompt, sampling)
        blocks = decode(target, drafter, prompt, sampling, Fixed(gamma), (), 24)
        return [token for block in blocks for token in block.tokens]

    plain = said(Plain(), 1)
    assert len(plain) == 24
    for gamma in (1, 4):
        wrong = frozenset(range(2, 24, 3))
        for drafter in (Guesses(plain, 9), Guesses(plain, 9, wrong), Lookup()):
            assert said(drafter, gamma) == plain


def test_weights_that_do_not_fit_are_refused(tmp_path):
    tiny = Peer("llama", tmp_path)  # 61 rows of 32 weights
    with pytest.raises(EngineError, match="nf4 needs rows of a multiple of 64"):
        open_native(tiny.folder, "float32", "cpu", 64, 1, "nf4")
    with pytest.raises(EngineError, match="int4 needs matrices with multiples of 16 rows"):
        open_native(tiny.folder, "float32", "cpu", 64, 1, "int4")
    with pytest.raises(EngineError, match="nf4"):
        open_hf(tiny.folder, "float32", "cpu", 64, 1, "nf4")


@pytest.mark.parametrize("kind", OPEN)
def test_a_missing_package_is_named_with_its_remedy(peer, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(EngineError, match=r"bitsandbytes, which is not installed") as refusal:
        OPEN[kind](peer.folder, "float32", "cpu", 64, 1, "nf4")
    assert refusal.value.remedy == "Run: pip install 'tokenhud[bnb]'"
    assert OPEN[kind](peer.folder, "float32", "cpu", 64, 1).logits(words(3), 1).size == 64


@pytest.mark.parametrize(("quantize", "limit"), [("int8", 0.08), ("nf4", 0.4)])
def test_transformers_holds_weights_in_fewer_bits(peer, quantize, limit, capfd):
    tokens = words(20)
    plain = open_hf(peer.folder, "float32", "cpu", 64, 1)
    target = open_hf(peer.folder, "float32", "cpu", 64, 1, quantize)
    rows = np.concatenate([target.logits(tokens[:12], 12), target.logits(tokens, 8)])
    assert 1e-4 < error(rows, peer.logits(tokens)) < limit
    assert target.parameters == plain.parameters
    assert target.memory()["weights"] < 0.5 * plain.memory()["weights"]
    assert target.no_rollback == ""
    assert quantize in target.notes[0]
    assert capfd.readouterr() == ("", "")


def quantised(peer: Peer, to: Path, method: str) -> Path:
    """A checkpoint that says it is quantised, without any weights."""
    to.mkdir()
    config = json.loads((peer.folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4, "load_in_4bit": True}
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "compressed-tensors"])
def test_formats_for_a_gpu_are_refused_on_a_cpu(peer, tmp_path, method):
    folder = quantised(peer, tmp_path / "model", method)
    with pytest.raises(EngineError, match=f"{method}, which computes on a GPU"):
        open_hf(folder, "float32", "cpu", 64, 1)
    with pytest.raises(EngineError, match="weights are quantised"):
        open_native(folder, "float32", "cpu", 64, 1, "int8")


def test_weights_are_not_quantised_twice(peer, tmp_path):
    folder = quantised(peer, tmp_path / "model", "bitsandbytes")
    with pytest.raises(EngineError, match=r"already, with bitsandbytes.*int8") as refusal:
        open_hf(folder, "float32", "cpu", 64, 1, "int8")
    assert refusal.value.remedy == "Use /quantize none."


def test_a_checkpoint_of_bitsandbytes_runs(peer, tmp_path, capfd):
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(
        peer.folder, dtype=torch.float32, quantization_config=how, device_map="cpu"
    )
    model.save_pretrained(tmp_path)
    capfd.readouterr()
    tokens = words(12)
    rows = open_hf(tmp_path, "float32", "cpu", 64, 1).logits(tokens, 12)
    assert error(rows, peer.logits(tokens)) < 0.08
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("quantize", "remedy"), [("int4", "nf4"), ("bf16", "/dtype bfloat16")])
def test_what_transformers_cannot_hold_is_refused(peer, quantize, remedy):
    with pytest.raises(EngineError, match=f"cannot hold weights in {quantize}") as refusal:
        open_hf(peer.folder, "float32", "cpu", 64, 1, quantize)
    assert remedy in refusal.value.remedy


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("quantize", "kind"), [("int8", Int8), ("int4", Int4)])
def test_a_gpu_holds_what_our_kernels_take(quantize, kind):
    weight, x = torch.randn(96, 640, device="cuda"), torch.randn(3, 640, device="cuda")
    linear = Linear(weight, quantize=quantize)
    held = linear.weight
    assert isinstance(held, kind)
    assert torch.allclose(linear(x), x @ dequantise(held).T, atol=1e-3)


def perplexity(target: NativeTarget, tokens: Sequence[int]) -> float:
    rows = torch.from_numpy(target.logits(tokens[:-1], len(tokens) - 1))
    return float(torch.nn.functional.cross_entropy(rows, torch.tensor(tokens[1:])).exp())


TEXT = """The sea was calm that morning, and the fishermen had gone out before dawn with their nets
folded in the bottom of the boats. From the hill above the harbour one could follow the white sails
until they grew so small that they were lost against the light. My grandmother used to say that a
man who watches the horizon too long forgets the ground under his feet, and she said it most often
to my uncle, who had never in his life caught a fish worth selling. He kept bees instead."""


@pytest.mark.model
@pytest.mark.parametrize(("quantize", "limit"), [("bf16", 0.01), ("int8", 0.01), ("int4", 0.03)])
def test_the_embedded_model_reads_as_well(quantize, limit):
    from tokenizers import Tokenizer

    folder = checkpoint("smollm2")
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    plain = open_native(folder, "float32", "cpu", 256, None)
    target = open_native(folder, "float32", "cpu", 256, None, quantize)
    assert abs(perplexity(target, tokens) / perplexity(plain, tokens) - 1) < limit
