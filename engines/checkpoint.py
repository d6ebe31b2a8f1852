"""Reads a Hugging Face checkpoint folder of the Llama family without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .events import EngineError
from .folder import settings
from .rope import VARIANTS, Rope

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
ELSEWHERE = "Use the hf target, which runs it through transformers."
DAMAGED = "Download or convert the model again."


@dataclass(frozen=True, slots=True)
class Config:
    """The shape of a model, in the words of config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    tie_word_embeddings: bool
    rope: Rope


def read_config(folder: Path) -> Config:
    """Raises EngineError for what the native target would compute wrongly, naming the reason."""
    try:
        return config_of(settings(folder / "config.json"))
    except KeyError as missing:
        raise EngineError(f"{folder / 'config.json'} lacks {missing}.", DAMAGED) from None


def config_of(raw: Mapping[str, Any]) -> Config:
    """As `read_config`, of what config.json holds; KeyError where something is missing."""
    _refuse(raw)
    heads = raw["num_attention_heads"]
    head_dim = raw.get("head_dim") or raw["hidden_size"] // heads
    positions = raw.get("max_position_embeddings", 2048)
    return Config(
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        intermediate_size=raw["intermediate_size"],
        num_hidden_layers=raw["num_hidden_layers"],
        num_attention_heads=heads,
        num_key_value_heads=raw.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        max_position_embeddings=positions,
        rms_norm_eps=raw.get("rms_norm_eps", 1e-6),
        tie_word_embeddings=raw.get("tie_word_embeddings", False),
        rope=_rope(raw, head_dim, positions),
    )


def _rope(raw: Mapping[str, Any], head_dim: int, positions: int) -> Rope:
    """Both spellings: `rope_parameters`, and the older `rope_scaling` beside `rope_theta`."""
    options = _rope_options(raw)
    original = options.get("original_max_position_embeddings") or positions
    return Rope(
        kind=_rope_kind(options),
        theta=float(options.get("rope_theta") or raw.get("rope_theta") or 10_000),
        dim=head_dim,
        trained=positions,
        original=raw.get("original_max_position_embeddings") or original,
        options=options,
    )


def _rope_options(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    options: Mapping[str, Any] = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return options


def _rope_kind(options: Mapping[str, Any]) -> str:
    return str(options.get("rope_type") or options.get("type") or "default")


def _architecture(raw: Mapping[str, Any]) -> str:
    return str((raw.get("architectures") or ["none"])[0])


def _refuse(raw: Mapping[str, Any]) -> None:
    rope = _rope_options(raw)
    others = set(raw.get("layer_types") or ()) - {"full_attention"}
    partial = rope.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1
    reasons = {
        f"its architecture is {_architecture(raw)}": _architecture(raw) not in ARCHITECTURES,
        "it uses a sliding window": _windowed(raw),
        f"it has layers of type {', '.join(sorted(others))}": bool(others),
        f"its activation is {raw.get('hidden_act')}": raw.get("hidden_act", "silu") != "silu",
        f"its rope type is {_rope_kind(rope)}": _rope_kind(rope) not in VARIANTS,
        "it rotates only part of each head": partial != 1,
        "its weights are quantised": bool(raw.get("quantization_config")),
    }
    found = [reason for reason, true in reasons.items() if true]
    if found:
        raise EngineError(
            f"The native target cannot run this model: {', '.join(found)}.", ELSEWHERE
        )


def _windowed(raw: Mapping[str, Any]) -> bool:
    if _architecture(raw) == "MistralForCausalLM":
        return raw.get("sliding_window", 4096) is not None
    return bool(raw.get("use_sliding_window"))


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of all safetensors files by name, mapped into memory, not read."""
    tensors: dict[str, Tensor] = {}
    for file in _files(folder):
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise EngineError(f"{file} cannot be read: {error}.", DAMAGED) from error
    return tensors


def _files(folder: Path) -> list[Path]:
    parts = settings(folder / "model.safetensors.index.json").get("weight_map")
    names = set(parts.values()) if parts else {"model.safetensors"}
    return [folder / Path(name).name for name in sorted(names)]  # never outside the folder
