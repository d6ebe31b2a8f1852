"""A model of random weights in a given shape: what costs depend on, without files."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .checkpoint import Config, config_of
from .linear import Linear
from .llama import Layer, Llama
from .shapes import SHAPES

QWEN = config_of(SHAPES["qwen2.5-1.5b"])
SPREAD = 0.02  # the deviation that training of such models begins with


def random_model(
    config: Config = QWEN,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cuda",
    layers: int | None = None,
) -> Llama:
    """The same weights each time, made on the device itself; `layers` in place of config's."""
    weights = _Weights(dtype, device)
    embedding = weights.normal(config.vocab_size, config.hidden_size)
    tied = config.tie_word_embeddings
    depth = config.num_hidden_layers if layers is None else layers
    return Llama(
        config=config,
        embedding=embedding,
        layers=tuple(weights.layer(config) for _ in range(depth)),
        norm=weights.ones(config.hidden_size),
        head=Linear(embedding if tied else weights.normal(*embedding.shape)),
    )


class _Weights:
    def __init__(self, dtype: torch.dtype, device: str) -> None:
        self._kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self._generator = torch.Generator(device).manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        return torch.empty(shape, **self._kind).normal_(0, SPREAD, generator=self._generator)

    def ones(self, size: int) -> Tensor:
        return torch.ones(size, **self._kind)

    def layer(self, config: Config) -> Layer:
        hidden, inner = config.hidden_size, config.intermediate_size
        mixed = config.num_attention_heads * config.head_dim
        rows = mixed + 2 * config.num_key_value_heads * config.head_dim
        return Layer(
            attention_norm=self.ones(hidden),
            qkv=Linear(self.normal(rows, hidden), self.normal(rows)),
            out=Linear(self.normal(hidden, mixed)),
            mlp_norm=self.ones(hidden),
            gate_up=Linear(self.normal(2 * inner, hidden)),
            down=Linear(self.normal(hidden, inner)),
        )
