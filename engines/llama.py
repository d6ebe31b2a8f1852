"""The forward pass of the Llama family: RMSNorm, rotary positions, grouped queries, SwiGLU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .checkpoint import DAMAGED, Config
from .events import EngineError
from .linear import Linear
from .rope import interleave, rotate

HEADS = {"int4": "int8", "nf4": "int8"}  # 4 bits cost a head more than all layers together


@dataclass(frozen=True, slots=True)
class Layer:
    attention_norm: Tensor
    qkv: Linear
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Llama:
    """A model's weights. `embedding` may still be a view of the mapped file: only the rows of
    tokens that occur are ever read."""

    config: Config
    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Linear
    quantize: str = "none"

    def parameters(self) -> int:
        """A head that is the embedding counts once."""
        matrices = sum(each.parameters for each in self._matrices())
        tied = self.head.parameters if self.config.tie_word_embeddings else 0
        return self.embedding.numel() + matrices - tied + sum(v.numel() for v in self._vectors())

    def nbytes(self) -> int:
        shared = self.config.tie_word_embeddings and self.head.shared
        matrices = sum(each.nbytes for each in self._matrices())
        vectors = sum(each.nbytes for each in self._vectors())
        return matrices + vectors + (0 if shared else self.embedding.nbytes)

    def bytes_read(self) -> int:
        """Weights that a token reads whole: all but an embedding that is not the head too."""
        held = self.config.tie_word_embeddings and self.head.shared
        return self.nbytes() - (0 if held else self.embedding.nbytes)

    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the weights are held."""
        if self.quantize == "none":
            return ()
        matrices = list(self._matrices())
        held = sum(each.nbytes for each in matrices) / 1e6
        full = sum(each.parameters for each in matrices) * self.norm.element_size() / 1e6
        head = ", the head int8" if self.quantize in HEADS else ""
        slower = "; nf4 saves memory here and costs time" if self._widens() else ""
        told = f"{self.quantize} weights{head}: {held:,.1f} MB in place of {full:,.1f}{slower}."
        return (told,)

    def _widens(self) -> bool:
        """On a CPU bitsandbytes makes whole weights of nf4 for each product."""
        return self.quantize == "nf4" and not self.norm.is_cuda

    def _matrices(self) -> Iterator[Linear]:
        for layer in self.layers:
            yield from (layer.qkv, layer.out, layer.gate_up, layer.down)
        yield self.head

    def _vectors(self) -> Iterator[Tensor]:
        for layer in self.layers:
            yield from (layer.attention_norm, layer.mlp_norm)
        yield self.norm


class Places(NamedTuple):
    """Where the tokens of one pass stand in a cache, and what each of them sees."""

    slots: slice | Tensor
    end: int  # of the slots that any of them sees
    turns: Tensor  # [n, 1, head_dim / 2], by their positions in the text
    mask: Tensor | None  # [n, end]; None where each sees all


def load(
    config: Config,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    device: str,
    quantize: str = "none",
) -> Llama:
    """Raises EngineError where weights are missing or cannot be held as `quantize` says."""
    loader = _Loader(config, tensors, dtype, device, quantize)
    embedding = loader.tensor("model.embed_tokens.weight")
    head = embedding if config.tie_word_embeddings else loader.tensor("lm_head.weight")
    return Llama(
        config=config,
        embedding=embedding,
        layers=tuple(loader.layer(f"model.layers.{i}") for i in range(config.num_hidden_layers)),
        norm=loader.tensor("model.norm.weight"),
        head=Linear(head, quantize=HEADS.get(quantize, quantize)),
        quantize=quantize,
    )


@dataclass(frozen=True, slots=True)
class _Loader:
    config: Config
    tensors: Mapping[str, Tensor]
    dtype: torch.dtype
    device: str
    quantize: str

    def tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise EngineError(f"The model's files lack the weights {name}.", DAMAGED)
        return self.tensors[name].to(self.device, self.dtype)

    def layer(self, at: str) -> Layer:
        attention = f"{at}.self_attn"
        return Layer(
            attention_norm=self.tensor(f"{at}.input_layernorm.weight"),
            qkv=self.linear(*(f"{attention}.{part}_proj" for part in "qkv")),
            out=self.linear(f"{attention}.o_proj"),
            mlp_norm=self.tensor(f"{at}.post_attention_layernorm.weight"),
            gate_up=self.linear(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"),
            down=self.linear(f"{at}.mlp.down_proj"),
        )

    def linear(self, *names: str) -> Linear:
        """Several matrices of one input, stacked: one product instead of two or three."""
        weight = torch.cat([self.rows(f"{name}.weight") for name in names])
        biases = [self.rows(f"{name}.bias") for name in names if f"{name}.bias" in self.tensors]
        return Linear(weight, torch.cat(biases) if biases else None, self.quantize)

    def rows(self, name: str) -> Tensor:
        rotated = "q_proj" in name or "k_proj" in name
        rows = self.tensor(name)
        return interleave(rows, self.config.head_dim) if rotated else rows


def forward(model: Llama, ids: Sequence[int], cache: Tensor, places: Places) -> Tensor:
    """Hidden states [n, hidden] of `ids`; writes their keys and values into `cache`
    [layers, 2, key heads, slots, head_dim] and attends to what their places see."""
    x = F.embedding(torch.tensor(ids, device=cache.device), model.embedding)
    for layer, held in zip(model.layers, cache, strict=True):
        x += _attention(model.config, layer, x, held[..., : places.end, :], places)
        x += _mlp(model.config, layer, x)
    return x


def logits(model: Llama, hidden: Tensor) -> Tensor:
    return model.head(_norm(model.config, hidden, model.norm))


def _attention(config: Config, layer: Layer, x: Tensor, held: Tensor, places: Places) -> Tensor:
    queries, keys = config.num_attention_heads, config.num_key_value_heads
    normed = _norm(config, x, layer.attention_norm)
    heads = layer.qkv(normed).view(len(x), queries + 2 * keys, config.head_dim)
    rotate(heads[:, : queries + keys], places.turns)
    fresh = heads[:, queries:].view(len(x), 2, keys, config.head_dim)
    held[:, :, places.slots] = fresh.permute(1, 2, 0, 3)
    mixed = F.scaled_dot_product_attention(
        heads[None, :, :queries].transpose(1, 2),
        held[None, 0],
        held[None, 1],
        attn_mask=places.mask,
        enable_gqa=True,
    )
    return layer.out(mixed[0].transpose(0, 1).flatten(1))


def _mlp(config: Config, layer: Layer, x: Tensor) -> Tensor:
    gate, up = layer.gate_up(_norm(config, x, layer.mlp_norm)).chunk(2, dim=-1)
    return layer.down(F.silu(gate).mul_(up))


def _norm(config: Config, x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, config.rms_norm_eps)
