"""What a GGUF's model is in Hugging Face's terms: its config and the names of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .events import EngineError
from .gguf_file import GGUFFile, broken

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}

Config = dict[str, Any]


class Weight(NamedTuple):
    name: str  # in the checkpoint
    source: str  # in the GGUF
    shape: tuple[int, ...]
    heads: int = 0  # rows to put back in order, as that many heads; 0 is none


def config(file: GGUFFile) -> Config:
    """config.json. Raises EngineError where the model is not one that it can describe."""
    kind = read(file, "general.architecture", str)
    if kind not in ARCHITECTURES:
        raise EngineError(
            f"{file.path.name} holds a {kind} model, and only {' and '.join(ARCHITECTURES)} "
            "GGUF files can be converted.",
            "Use /llama with this file, or the model's Hugging Face folder.",
        )
    hidden = _size(file, f"{kind}.embedding_length")
    heads = _size(file, f"{kind}.attention.head_count")
    head_dim = _size(file, f"{kind}.attention.key_length", hidden // heads)
    context = _size(file, f"{kind}.context_length")
    return {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "dtype": "float32",
        "vocab_size": _shape(file, "token_embd.weight")[0],
        "hidden_size": hidden,
        "intermediate_size": _size(file, f"{kind}.feed_forward_length"),
        "num_hidden_layers": _size(file, f"{kind}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _size(file, f"{kind}.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "rms_norm_eps": read(file, f"{kind}.attention.layer_norm_rms_epsilon", float),
        "rope_parameters": _rope(file, kind, head_dim, context),
        "hidden_act": "silu",
        "attention_bias": kind == "qwen2" or "blk.0.attn_q.bias" in file.tensors,
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "bos_token_id": read(file, "tokenizer.ggml.bos_token_id", int, None),
        "eos_token_id": read(file, "tokenizer.ggml.eos_token_id", int, None),
    }


def stop_ids(file: GGUFFile) -> list[int]:
    """Every id that the file itself says ends an answer or a turn."""
    names = ("eos", "eot", "eom")
    found = (read(file, f"tokenizer.ggml.{name}_token_id", int, None) for name in names)
    return list(dict.fromkeys(each for each in found if each is not None))


def weights(file: GGUFFile, config: Config) -> list[Weight]:
    """Every weight of the checkpoint. Raises EngineError where one is missing, has another shape
    than the config says, or would go unused."""
    expected = []
    for each in _expected(config):  # one by one: a damaged count may name billions of layers
        if _shape(file, each.source) != each.shape:
            found = list(_shape(file, each.source))
            raise broken(file.path, f"{each.source} has shape {found}, not {list(each.shape)}")
        expected.append(each)
    unused = set(file.tensors) - {each.source for each in expected} - {"rope_freqs.weight"}
    if unused:
        raise EngineError(
            f"{file.path.name} has weights that a {config['model_type']} model does not use, "
            f"such as {min(unused)[:64]}.",
            "Use /llama with this file.",
        )
    return expected


def restored(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undoes the row order of llama GGUFs, which pair neighbours in RoPE; Hugging Face pairs a
    row with the one half a head further."""
    if not heads:
        return values
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def read(file: GGUFFile, key: str, kind: type, *default: Any) -> Any:
    """A metadata value of the right type; without a default it must be there."""
    value = file.metadata.get(key)
    if value is None and default:
        return default[0]
    usable = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if usable and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    raise broken(file.path, f"{key} is {'missing' if value is None else 'of the wrong type'}")


def _size(file: GGUFFile, key: str, *default: int) -> int:
    value = int(read(file, key, int, *default))
    if value < 1:
        raise broken(file.path, f"{key} is {value}")
    return value


def _shape(file: GGUFFile, name: str) -> tuple[int, ...]:
    if name not in file.tensors:
        raise broken(file.path, f"the weights {name} are missing")
    return file.tensors[name].shape


def _expected(config: Config) -> Iterator[Weight]:
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield Weight("model.embed_tokens.weight", "token_embd.weight", (vocabulary, hidden))
    yield Weight("model.norm.weight", "output_norm.weight", (hidden,))
    if not config["tie_word_embeddings"]:
        yield Weight("lm_head.weight", "output.weight", (vocabulary, hidden))
    for layer in range(config["num_hidden_layers"]):
        for name, source, shape, heads in _layer(config):
            yield Weight(f"model.layers.{layer}.{name}", f"blk.{layer}.{source}", shape, heads)


def _layer(config: Config) -> Iterator[Weight]:
    hidden, inner, head_dim = (
        config[key] for key in ("hidden_size", "intermediate_size", "head_dim")
    )
    llama = config["model_type"] == "llama"
    yield Weight("input_layernorm.weight", "attn_norm.weight", (hidden,))
    yield Weight("post_attention_layernorm.weight", "ffn_norm.weight", (hidden,))
    yield Weight("mlp.gate_proj.weight", "ffn_gate.weight", (inner, hidden))
    yield Weight("mlp.up_proj.weight", "ffn_up.weight", (inner, hidden))
    yield Weight("mlp.down_proj.weight", "ffn_down.weight", (hidden, inner))
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    for letter, count, permuted in (
        ("q", heads, llama),
        ("k", shared, llama),
        ("v", shared, False),
    ):
        name, source, rows = f"self_attn.{letter}_proj", f"attn_{letter}", count * head_dim
        order = count if permuted else 0
        yield Weight(f"{name}.weight", f"{source}.weight", (rows, hidden), order)
        if config["attention_bias"]:
            yield Weight(f"{name}.bias", f"{source}.bias", (rows,), order)
    yield Weight("self_attn.o_proj.weight", "attn_output.weight", (hidden, heads * head_dim))
    if config["attention_bias"] and llama:
        yield Weight("self_attn.o_proj.bias", "attn_output.bias", (hidden,))


def _rope(file: GGUFFile, kind: str, head_dim: int, context: int) -> dict[str, Any]:
    theta = read(file, f"{kind}.rope.freq_base", float, 10000.0)
    turned = read(file, f"{kind}.rope.dimension_count", int, head_dim)
    scaling = read(file, f"{kind}.rope.scaling.type", str, "none")
    if head_dim % 2 or turned != head_dim or scaling not in ("none", "linear", "yarn"):
        what = (
            f"scaling {scaling}" if turned == head_dim else f"on {turned} of {head_dim} dimensions"
        )
        raise _unknown_rope(file, what)
    if "rope_freqs.weight" in file.tensors:
        return _llama3(file, theta, head_dim)
    rope = {"rope_type": "default" if scaling == "none" else scaling, "rope_theta": theta}
    if scaling != "none":
        rope["factor"] = read(file, f"{kind}.rope.scaling.factor", float)
    if scaling == "yarn":
        original = f"{kind}.rope.scaling.original_context_length"
        rope["original_max_position_embeddings"] = read(file, original, int, context)
    return rope


def _llama3(file: GGUFFile, theta: float, head_dim: int) -> dict[str, Any]:
    """Llama 3's scaling. A GGUF holds only the factor of each frequency, so Meta's constants are
    assumed and the factors they give are compared with those found."""
    found = file.weights("rope_freqs.weight")
    factor, low, high, original = round(float(found.max()), 3), 1.0, 4.0, 8192
    turns = original * theta ** (-np.arange(0, head_dim, 2) / head_dim) / (2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1)
    factors = 1 / ((1 - blend) / factor + blend)
    if factors.shape != found.shape or not np.allclose(factors, found, rtol=1e-3):
        raise _unknown_rope(file, "frequencies")
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }


def _unknown_rope(file: GGUFFile, what: str) -> EngineError:
    return EngineError(
        f"{file.path.name} has RoPE {what} that cannot be converted.",
        "Use /llama with this file.",
    )
