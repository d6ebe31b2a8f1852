from __future__ import annotations

import json
import os
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import filelock
import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tokenhud.engines.convert import FACTS, convert
from tokenhud.engines.events import EngineError
from tokenhud.engines.gguf_file import open_gguf
from tokenhud.engines.gguf_path import gguf_path
from tokenhud.engines.gguf_tokenizer import tokenizer

from .tiny_gguf import TEMPLATE, drained, tiny_model, write_gguf, write_sentence_piece

# Taken once from llama.cpp's own tokenizer, special tokens unparsed. "tiny_cut" has CUT under each
# way to cut text before merging; "sentence_piece" the ids with a space put before and without.
LLAMA_CPP = json.loads(Path(__file__).with_name("llama_cpp_ids.json").read_text("utf-8"))
CUT = "12345 !\n\n1 !!the"

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(path: Path, sha256: str = "00") -> Path:
    return drained(convert(path, sha256))[1].folder


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([[5, 9, 60, 2, 44, 258, 7]])).logits


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
        ("llama", {"attention_bias": True, "rope_parameters": {"rope_theta": 7e4}}),
        ("qwen2", {"num_key_value_heads": 1}),
        ("qwen2", {"tie_word_embeddings": True, "rms_norm_eps": 1e-4}),
    ],
)
def test_the_folder_loads_in_transformers_and_computes_the_same(tmp_path, kind, options):
    model = tiny_model(kind, **options)
    folder = folder_of(write_gguf(tmp_path / "tiny.gguf", model))
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(logits(loaded), logits(model))
    assert loaded.generation_config.eos_token_id == [0, 2]


def test_llama3_scaling_is_found_in_its_frequencies(tmp_path):
    model = tiny_model(rope_parameters=LLAMA3, hidden_size=256)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](model.config, device="cpu")
    plain = 500000.0 ** (-torch.arange(0, 64, 2) / 64)
    extra = {"rope_freqs.weight": (plain / scaled).numpy().astype(np.float32)}
    path = write_gguf(tmp_path / "tiny.gguf", model, extra=extra)
    loaded = AutoModelForCausalLM.from_pretrained(folder_of(path))
    assert loaded.config.rope_parameters == LLAMA3
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_1", "Q8_0"])
def test_quantised_weights_are_what_the_gguf_package_says(tmp_path, kind):
    path = write_gguf(tmp_path / "q.gguf", tiny_model("qwen2"), gguf.GGMLQuantizationType[kind])
    _, converted = drained(convert(path, "00"))
    weights = load_file(converted.folder / "model.safetensors")
    tensors = {each.name: each for each in gguf.GGUFReader(path).tensors}
    for ours, theirs in [("mlp.up_proj", "ffn_up"), ("self_attn.k_proj", "attn_k")]:
        tensor = tensors[f"blk.1.{theirs}.weight"]
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(weights[f"model.layers.1.{ours}.weight"], expected)
    assert converted.facts == {"name": "Tiny", "quantization": kind}


def test_transformers_reads_the_same_tokenizer(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    theirs = AutoTokenizer.from_pretrained(folder_of(path))
    text = "the 123 <|stop|> é 你\n"
    ours = tokenizer(open_gguf(path)).encode(text, add_special_tokens=False).ids
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours
    assert (theirs.bos_token, theirs.eos_token) == ("<|start|>", "<|end|>")
    assert theirs.chat_template == TEMPLATE


@pytest.fixture(scope="module")
def smollm2():
    found = tokenizer(open_gguf(gguf_path("smollm2")))
    found.encode_special_tokens = True
    return found


@pytest.mark.parametrize(("text", "ids"), LLAMA_CPP["smollm2"])
def test_embedded_model_has_llama_cpps_ids(smollm2, text, ids):
    assert smollm2.encode(text, add_special_tokens=False).ids == ids


@pytest.mark.parametrize(("pre", "ids"), LLAMA_CPP["tiny_cut"])
def test_each_way_to_cut_has_llama_cpps_ids(tmp_path, pre, ids):
    found = tokenizer(open_gguf(write_gguf(tmp_path / "t.gguf", tiny_model(), pre=pre)))
    assert found.encode(CUT, add_special_tokens=False).ids == ids


@pytest.mark.parametrize(("text", "spaced", "bare"), LLAMA_CPP["sentence_piece"])
def test_sentence_piece_has_llama_cpps_ids(tmp_path, text, spaced, bare):
    for prefix, ids in ((True, spaced), (False, bare)):
        found = tokenizer(open_gguf(write_sentence_piece(tmp_path / "s.gguf", prefix)))
        assert found.encode(text, add_special_tokens=False).ids == ids
        assert found.encode(text).ids == [1, *ids]
        assert found.decode(ids) == text


def test_a_second_conversion_is_not_made(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    steps, first = drained(convert(path, "00"))
    assert steps[-1].done == steps[-1].total > 0
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert drained(convert(path, "00")) == ([], first)
    assert drained(convert(path, "11"))[1].folder != first.folder


def test_an_interrupted_conversion_leaves_nothing_that_counts(tmp_path, cache):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    steps = convert(path, "00")
    next(steps)
    steps.close()
    assert not [each for each in cache.iterdir() if each.is_dir()]
    folder = folder_of(path)
    killed = folder.with_name(folder.name + ".partial")
    folder.rename(killed)  # as a killed process leaves it
    (killed / FACTS).unlink()
    (killed / "model.safetensors").write_bytes(b"half")
    assert (folder_of(path) / "model.safetensors").stat().st_size > 1000
    assert not killed.exists()


def test_a_second_process_waits_and_uses_what_the_first_made(tmp_path, cache):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    folder = folder_of(path)
    (folder / FACTS).rename(cache / FACTS)  # not whole, so the conversion wants the lock
    with filelock.FileLock(f"{folder}.lock"):
        steps = convert(path, "00")
        assert next(steps).stage.startswith("Waiting")
        (cache / FACTS).rename(folder / FACTS)
    assert [step for step in drained(steps)[0] if step.stage == "Converting"] == []


def test_too_little_space_is_said_with_both_numbers(tmp_path, cache, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=20_000_000))
    with pytest.raises(EngineError, match=r"0\.07 GB .* 0\.02 GB free"):
        folder_of(path)
    assert not [each for each in cache.iterdir() if each.is_dir()]


def test_an_unwritable_cache_is_replaced_for_this_process(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model())
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "file" / "cache"))
    _, converted = drained(convert(path, "00"))
    assert "cannot be written" in converted.note
    assert (converted.folder / "model.safetensors").is_file()
    assert drained(convert(path, "00"))[0] == []


def test_models_that_would_be_converted_wrongly_are_refused(tmp_path):
    model = tiny_model()
    experts = {"blk.0.ffn_gate_exps.weight": np.ones((4, 4), np.float32)}
    strange = {"rope_freqs.weight": np.linspace(1, 5, 4, dtype=np.float32)}
    cases = [
        (write_gguf(tmp_path / "a.gguf", model, architecture="gemma3"), "gemma3"),
        (write_gguf(tmp_path / "b.gguf", model, pre="novel"), "novel"),
        (write_gguf(tmp_path / "c.gguf", model, extra=experts), "ffn_gate_exps"),
        (write_gguf(tmp_path / "d.gguf", model, extra=strange), "RoPE"),
        (write_gguf(tmp_path / "e.gguf", model, architecture="qwen2"), "attention.head_count|bias"),
        (write_sentence_piece(tmp_path / "f.gguf"), "feed_forward|shape|missing"),
    ]
    for path, named in cases:
        with pytest.raises(EngineError, match=named):
            folder_of(path)


def header(tensors: int, keys: int, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


def key(kind: int, rest: bytes) -> bytes:
    return struct.pack("<Q", 1) + b"k" + struct.pack("<I", kind) + rest


def info(dims: list[int], kind: int = 0, offset: int = 0, count: int | None = None) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims) if count is None else count, *dims)
    return struct.pack("<Q", 1) + b"t" + shape + struct.pack("<IQ", kind, offset)


HUGE = 1 << 60
HOSTILE = {
    "empty": b"",
    "text": b"# Notes\n" * 50,
    "no tensors": header(0, 0),
    "big-endian or new version": header(1, 0, info([4]), version=1 << 24),
    "tensor count": header(HUGE, 0, info([4])),
    "key count": header(1, HUGE, info([4])),
    "string length": header(1, 1, key(8, struct.pack("<Q", 1 << 30))),
    "number array": header(1, 1, key(9, struct.pack("<IQ", 0, HUGE)) + bytes(64)),
    "string array": header(1, 1, key(9, struct.pack("<IQ", 8, HUGE)) + bytes(64)),
    "array of arrays": header(1, 1, key(9, struct.pack("<IQ", 9, 4)) + bytes(64)),
    "value type": header(1, 1, key(77, bytes(64))),
    "zero dimension": header(1, 0, info([4, 0])) + bytes(64),
    "no dimension": header(1, 0, info([])) + bytes(64),
    "dimension count": header(1, 0, info([4], count=10**6)) + bytes(64),
    "shape": header(1, 0, info([1 << 62, 1 << 62])) + bytes(64),
    "partial block": header(1, 0, info([33], kind=8)) + bytes(64),
    "tensor type": header(1, 0, info([4], kind=999)) + bytes(64),
    "offset": header(1, 0, info([4], offset=1 << 63)) + bytes(64),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_in_little_memory(tmp_path, name):
    path = tmp_path / "x.gguf"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(EngineError, match=r"x\.gguf is not a usable GGUF file"):
        open_gguf(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_real_file_cut_short_is_refused(tmp_path):
    data = gguf_path("smollm2").read_bytes()
    for part in (0.1, 0.5, 0.99):
        path = tmp_path / "cut.gguf"
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(EngineError, match="cut short"):
            open_gguf(path)


def test_what_is_no_file_is_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path, tmp_path / "pipe.gguf", tmp_path / "none.gguf"):
        with pytest.raises(EngineError):
            open_gguf(path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), value=st.integers(0, 255), width=st.integers(1, 8))
def test_damage_anywhere_in_the_header_is_an_engine_error_or_harmless(
    tmp_path, place, value, width
):
    good = tmp_path / "good.gguf"
    if not good.exists():
        write_gguf(good, tiny_model())
    data = bytearray(good.read_bytes())
    first = min(each.offset for each in open_gguf(good).tensors.values())
    at = int(place * (first - width))
    data[at : at + width] = bytes([value]) * width
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with suppress(EngineError):
        folder = folder_of(bad, f"{value}-{at}-{width}")
        assert json.loads((folder / "config.json").read_text("utf-8"))["num_hidden_layers"] >= 1
