"""Rotary position embedding: which angle each pair of a head turns by at each position.

The variants differ in their inverse frequencies alone. They are computed in float32, as the
models were trained, so that positions far out agree with the reference to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .events import EngineError


@dataclass(frozen=True, slots=True)
class Rope:
    """How a model encodes positions; `options` are the variant's own, as in config.json."""

    kind: str
    theta: float
    dim: int
    trained: int  # max_position_embeddings
    original: int  # positions before the context was extended; `trained` where it was not
    options: Mapping[str, Any] = field(default_factory=dict)


def turns(rope: Rope, context: int, device: str) -> Tensor:
    """Complex factors [context, dim / 2] that turn each pair; their length is the variant's
    attention factor."""
    frequencies, scale = inverse_frequencies(rope, context)
    angles = torch.arange(context, dtype=torch.float32)[:, None] * frequencies
    return torch.complex(angles.cos() * scale, angles.sin() * scale).to(device)


def rotate(heads: Tensor, turns: Tensor) -> None:
    """Turns `heads` [n, heads, dim] in place; pairs are neighbours, see `interleave`."""
    wide = heads.to(torch.promote_types(heads.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.view(*heads.shape[:-1], -1, 2))
    heads.copy_(torch.view_as_real(pairs * turns).flatten(-2))


def interleave(rows: Tensor, dim: int) -> Tensor:
    """Reorders the rows that make queries or keys, so that the pairs (i, i + dim/2) of a
    checkpoint become neighbours: one complex product then rotates all of them. Attention is
    unchanged, since queries and keys are reordered alike."""
    halves = rows.view(-1, 2, dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def inverse_frequencies(rope: Rope, context: int) -> tuple[Tensor, float]:
    """Radians a position for each pair, and the attention factor."""
    if rope.kind not in VARIANTS:
        raise EngineError(
            f"The model's rope type {rope.kind} is not known here.",
            f"Known are {', '.join(VARIANTS)}; the hf target may run it.",
        )
    try:
        return VARIANTS[rope.kind](rope, context)
    except KeyError as missing:
        raise EngineError(
            f"config.json has rope type {rope.kind} without {missing}.",
            "Download the model again.",
        ) from None


def _base(rope: Rope, theta: float | None = None) -> Tensor:
    exponents = torch.arange(0, rope.dim, 2, dtype=torch.float32) / rope.dim
    return (theta or rope.theta) ** exponents


def _default(rope: Rope, _: int) -> tuple[Tensor, float]:
    return 1.0 / _base(rope), 1.0


def _linear(rope: Rope, _: int) -> tuple[Tensor, float]:
    """Position interpolation (Chen et al. 2023)."""
    return 1.0 / _base(rope) / rope.options["factor"], 1.0


def _dynamic(rope: Rope, context: int) -> tuple[Tensor, float]:
    """Dynamic NTK changes nothing up to the trained length. Beyond it every new length turns all
    earlier keys anew, which a cache of turned keys cannot follow."""
    if context > rope.trained:
        raise EngineError(
            f"A context of {context} needs dynamic rope scaling, which a key cache cannot follow.",
            f"Choose a context of at most {rope.trained}.",
        )
    return _default(rope, context)


def _yarn(rope: Rope, _: int) -> tuple[Tensor, float]:
    """Peng et al. 2023: interpolates slow pairs, keeps fast ones, blends between."""
    options = rope.options
    factor = options["factor"] or rope.trained / rope.original
    fast, slow = options.get("beta_fast") or 32, options.get("beta_slow") or 1
    low, high = _yarn_pair(rope, fast), _yarn_pair(rope, slow)
    if options.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dim - 1)
    span = high - low or 0.001
    kept = 1 - ((torch.arange(rope.dim // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
    base = _base(rope)
    blend = 1.0 / (factor * base) * (1 - kept) + 1.0 / base * kept
    return blend, _yarn_scale(factor, options)


def _yarn_pair(rope: Rope, rotations: float) -> float:
    """Index of the pair that turns `rotations` times within the original context."""
    length = rope.original / (rotations * 2 * math.pi)
    return rope.dim * math.log(length) / (2 * math.log(rope.theta))


def _yarn_scale(factor: float, options: Mapping[str, Any]) -> float:
    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if options.get("attention_factor") is not None:
        return float(options["attention_factor"])
    if options.get("mscale") and options.get("mscale_all_dim"):
        return scale(options["mscale"]) / scale(options["mscale_all_dim"])
    return scale(1.0)


def _longrope(rope: Rope, context: int) -> tuple[Tensor, float]:
    """Ding et al. 2024. The short or the long factors are chosen once, by the context asked for,
    since changing them in mid-text would make every cached key stale."""
    options = rope.options
    name = "long_factor" if context > rope.original else "short_factor"
    rescale = torch.tensor(options[name], dtype=torch.float32)
    factor = options.get("factor") or rope.trained / rope.original
    scale = options.get("attention_factor")
    if scale is None:
        growth = max(math.log(factor), 0) / math.log(rope.original)
        scale = math.sqrt(1 + growth)
    return 1.0 / (rescale * _base(rope)), scale


def _llama3(rope: Rope, _: int) -> tuple[Tensor, float]:
    """Llama 3.1: long waves are stretched by the factor, short ones kept, those between blended."""
    options = rope.options
    low, high = options["low_freq_factor"], options["high_freq_factor"]
    kept = 1.0 / _base(rope)
    waves = 2 * math.pi / kept
    blend = ((rope.original / waves - low) / (high - low)).clamp(0, 1)
    return (1 - blend) * kept / options["factor"] + blend * kept, 1.0


VARIANTS: dict[str, Callable[[Rope, int], tuple[Tensor, float]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
