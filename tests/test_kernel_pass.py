"""The native target with our kernels beside the native target with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tokenhud.engines.checkpoint import Config
from tokenhud.engines.choosing import choose
from tokenhud.engines.drafters import Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.gpu import Gpu
from tokenhud.engines.kv_cache import KvCache
from tokenhud.engines.llama import Layer, Llama
from tokenhud.engines.lookup import Lookup
from tokenhud.engines.loop import Fixed, decode
from tokenhud.engines.native import NativeTarget
from tokenhud.engines.options import Sampling
from tokenhud.engines.random_model import random_model
from tokenhud.engines.rope import Rope

VOCAB, CONTEXT = 61, 80
CONFIG = Config(
    vocab_size=VOCAB,
    hidden_size=24,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    max_position_embeddings=CONTEXT,
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
    rope=Rope("default", theta=1e4, dim=16, trained=CONTEXT, original=CONTEXT),
)
TEXT = [7, 3, 9, 3, 7, 3, 9, 4, 1, 22, 60, 0, 5]

Pair = Callable[..., tuple[NativeTarget, NativeTarget]]


@dataclass(frozen=True)
class Matrix:
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@pytest.fixture
def pair(device: str) -> Pair:
    """The same weights with torch and with our kernels."""

    def make(dtype: torch.dtype = torch.float32, bias: bool = False) -> Any:
        model = plain(random_model(CONFIG, dtype, device), bias)
        cache = KvCache(CONFIG, dtype, device, CONTEXT)
        torch_alone = NativeTarget(model, KvCache(CONFIG, dtype, device, CONTEXT))
        return torch_alone, NativeTarget(model, cache, Gpu(model, cache))

    return make


def plain(model: Llama, bias: bool) -> Llama:
    """Weights as a GPU holds them, large enough that tokens matter, with every bias there is."""
    generator = torch.Generator(model.embedding.device).manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        empty = model.embedding.new_empty(shape)
        return empty.normal_(0, 0.3, generator=generator)

    def matrix(rows: int, columns: int, biased: bool = bias) -> Any:
        return Matrix(drawn(rows, columns), drawn(rows) if biased else None)

    def layer(of: Layer) -> Layer:
        return replace(
            of,
            qkv=matrix(64, 24, biased=True),
            out=matrix(24, 32),
            gate_up=matrix(40, 24),
            down=matrix(24, 20),
        )

    embedding = drawn(VOCAB, 24)
    layers = tuple(map(layer, model.layers))
    head = cast("Any", Matrix(embedding, None))
    return replace(model, embedding=embedding, layers=layers, head=head)


@pytest.mark.parametrize(("bias", "sizes"), [(False, (1, 13)), (True, (5,))])
def test_blocks_of_any_size_give_torchs_logits(
    pair: Pair, bias: bool, sizes: tuple[int, ...]
) -> None:
    torch_alone, ours = pair(bias=bias)
    for rows in sizes:
        expected = torch_alone.logits(TEXT, rows)
        ours.logits([], 0)
        ours.logits(TEXT[:-rows], 0)
        np.testing.assert_allclose(ours.logits(TEXT, rows), expected, rtol=1e-3, atol=1e-3)


def test_a_long_text_is_read_by_torch_and_gone_on_with_by_the_kernels(pair: Pair) -> None:
    torch_alone, ours = pair()
    text = (TEXT * 6)[: CONTEXT - 3]
    for end in (40, 57, 58, 60, len(text)):
        expected = torch_alone.logits(text[:end], 1)
        np.testing.assert_allclose(ours.logits(text[:end], 1), expected, rtol=1e-3, atol=1e-3)


def test_the_context_is_used_to_its_end_and_not_beyond(pair: Pair) -> None:
    torch_alone, ours = pair()
    text = (TEXT * 7)[:CONTEXT]
    for target in (torch_alone, ours):
        target.logits(text[: CONTEXT - 5], 0)
    expected = torch_alone.logits(text, 5)
    np.testing.assert_allclose(ours.logits(text, 5), expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(EngineError):
        ours.logits([*text, 1], 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_is_the_same_to_the_bit_alone_and_in_a_block(pair: Pair, dtype: torch.dtype) -> None:
    _, ours = pair(dtype)
    ours.logits(TEXT[:4], 0)
    alone = [ours.logits(TEXT[:end], 1)[0].copy() for end in range(5, 9)]
    ours.logits(TEXT[:4], 0)
    together = ours.logits(TEXT[:8], len(alone))
    assert np.array_equal(together, alone)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=1.2, seed=5),
        Sampling(temperature=0.8, top_k=9, top_p=0.9, min_p=0.02, seed=2**62 + 1),
        Sampling(repetition_penalty=1.4),
    ],
    ids=lambda sampling: sampling.processor,
)
def test_picks_on_the_device_are_those_of_the_host(pair: Pair, sampling: Sampling) -> None:
    torch_alone, ours = pair()
    for end, rows in ((6, 1), (9, 3)):
        here, _ = choose(torch_alone, TEXT[:end], rows, sampling)
        there, logits = choose(ours, TEXT[:end], rows, sampling)
        assert list(there) == list(here)
        assert len(logits) == rows


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.9, seed=3)])
def test_drafts_change_no_word_in_bfloat16(pair: Pair, sampling: Sampling) -> None:
    _, ours = pair(torch.bfloat16)

    def said(drafter: Plain | Lookup) -> Sequence[int]:
        ours.logits([], 0)
        drafter.begin(TEXT, sampling)
        blocks = decode(ours, drafter, TEXT, sampling, Fixed(4), (), 6)
        return [token for block in blocks for token in block.tokens]

    assert said(Lookup()) == said(Plain())


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.9, seed=3)])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_pass_begun_ahead_serves_its_token_and_no_other(
    pair: Pair, sampling: Sampling, turn: int
) -> None:
    torch_alone, ours = pair()
    (picked,), rows = choose(ours, TEXT, 1, sampling, ahead=True)
    assert len(rows) == 0
    text = [*TEXT, (picked + turn) % VOCAB]
    for end in (text, [*text, 3]):
        here, _ = choose(torch_alone, end, 1, sampling)
        there, _ = choose(ours, end, 1, sampling, ahead=end is text)
        assert list(there) == list(here)


def test_the_first_layers_alone_share_the_cache(pair: Pair) -> None:
    torch_alone, ours = pair()
    expected = torch_alone.early_exit(1).logits(TEXT, 2)
    found = ours.early_exit(1).logits(TEXT, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    whole = torch_alone.logits(TEXT, 1)
    np.testing.assert_allclose(ours.logits(TEXT, 1), whole, rtol=1e-3, atol=1e-3)


def test_numbers_that_are_none_are_told(pair: Pair) -> None:
    _, ours = pair()
    ours._model.embedding.fill_(torch.nan)
    with pytest.raises(EngineError, match="invalid numbers"):
        list(choose(ours, TEXT, 1, Sampling())[0])
