from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.test_native import CONTEXT, EDIT, VOCAB, Edit, Peer, near, words
from tokenhud.engines.draft_model import DraftModel
from tokenhud.engines.drafters import Drafter, Plain
from tokenhud.engines.loop import Block, Fixed, decode
from tokenhud.engines.native import NativeTarget
from tokenhud.engines.options import Sampling

LAYERS = 4


class Layered(Peer):
    """The truth at any depth."""

    def first(self, layers: int, tokens: Sequence[int]) -> NDArray[np.float64]:
        inner = self.model.model
        whole, inner.layers = inner.layers, inner.layers[:layers]
        try:
            return self.logits(tokens)
        finally:
            inner.layers = whole


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Layered:
    return Layered("llama deep", tmp_path_factory.mktemp("deep"))


@pytest.mark.parametrize("layers", range(1, LAYERS + 1))
def test_an_early_exit_is_the_model_of_those_layers(peer: Layered, layers: int) -> None:
    tokens, early = words(20), peer.open().early_exit(layers)
    truth = peer.first(layers, tokens)
    assert (early.layers, early.vocabulary) == (layers, VOCAB)
    near(early.logits(tokens[:12], 12), truth[:12], 1e-9)
    for end in range(13, 21):
        near(early.logits(tokens[:end], 1), truth[end - 1 : end], 1e-9)


def test_there_is_no_exit_outside_the_layers(peer: Layered) -> None:
    for layers in (0, LAYERS + 1):
        with pytest.raises(ValueError, match="of 4 layers"):
            peer.open().early_exit(layers)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, LAYERS), EDIT, st.booleans()), min_size=2, max_size=10),
)
def test_target_and_exits_stay_true_in_any_order(
    peer: Layered, calls: list[tuple[int, Edit, bool]]
) -> None:
    target, tokens = peer.open(), words(8)
    depths = {layers: target.early_exit(layers) for layers in range(1, LAYERS)} | {LAYERS: target}
    for layers, (keep, new, last), tail in calls:
        rest = tokens[keep + len(new) :] if tail else []
        tokens = [*tokens[:keep], *new, *rest][:CONTEXT]
        last = min(last, len(tokens))
        rows = depths[layers].logits(tokens, last)
        assert depths[layers].cached([*tokens, 0]) == len(tokens)
        if last:
            near(rows, peer.first(layers, tokens)[-last:], 1e-9)


def test_each_evaluates_only_what_its_layers_lack(peer: Layered) -> None:
    target, text = peer.open(), words(14)
    early, earlier = target.early_exit(2), target.early_exit(1)
    target.logits(text[:9], 1)
    assert early.cached(text) == target.cached(text) == 9
    early.logits(text[:12], 1)
    assert (earlier.cached(text), early.cached(text), target.cached(text)) == (12, 12, 9)
    target.logits(text[:13], 4)
    assert early.cached(text) == target.cached(text) == 13
    other = [*text[:11], (text[11] + 1) % VOCAB, *text[12:]]
    early.logits(other, 1)
    assert (early.cached([*other, 0]), target.cached([*other, 0])) == (14, 11)
    assert target.cached(text) == early.cached(text) == 11


def test_a_failed_pass_of_an_exit_leaves_a_true_cache(peer: Layered) -> None:
    target, tokens = peer.open(), words(10)
    early = target.early_exit(2)
    target.logits(tokens, 1)
    with pytest.raises(IndexError):
        early.logits([*tokens[:5], 3, VOCAB], 1)
    assert target.cached(tokens) == early.cached(tokens) == 5
    near(target.logits(tokens, 1), peer.logits(tokens)[-1:], 1e-9)


def test_an_exit_counts_what_it_uses_and_closing_it_leaves_the_target(peer: Layered) -> None:
    target, tokens = peer.open(), words(10)
    early = target.early_exit(1)
    target.logits(tokens, 1)
    assert early.memory()["kv_cache"] * LAYERS == target.memory()["kv_cache"] > 0
    assert early.memory()["weights"] < target.memory()["weights"]
    early.close()
    near(target.logits(tokens, 10), peer.logits(tokens), 1e-9)


def answer(
    target: NativeTarget, drafter: Drafter, room: int, temperature: float = 0.0
) -> list[Block]:
    prompt, sampling = words(9), Sampling(temperature=temperature, seed=3)
    drafter.begin(prompt, sampling)
    return list(decode(target, drafter, prompt, sampling, Fixed(4), (), room))


def said(blocks: list[Block]) -> list[int]:
    return [token for block in blocks for token in block.tokens]


def test_an_exit_after_the_last_layer_is_right_for_ever(peer: Layered) -> None:
    target = peer.open(context=512)
    first, *blocks = answer(target, DraftModel(target.early_exit(LAYERS), VOCAB), 500)
    assert first.drafted == 0
    assert len(blocks) == -(-499 // 5)
    assert all(block.accepted == block.drafted for block in blocks)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_drafts_of_an_exit_change_no_token(peer: Layered, layers: int, temperature: float) -> None:
    target = peer.open(context=128)
    plain = said(answer(target, Plain(), 100, temperature))
    blocks = answer(target, DraftModel(target.early_exit(layers), VOCAB), 100, temperature)
    assert said(blocks) == plain
    assert sum(block.drafted for block in blocks) > 0
