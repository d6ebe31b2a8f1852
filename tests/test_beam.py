from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.test_early_exit import Layered
from tests.test_native import VOCAB, Peer, near, words
from tokenhud.engines.beam import Beam, beam_search, likeliest, log_softmax
from tokenhud.engines.choosing import Target
from tokenhud.engines.drafters import Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Sampling

from .tiny import TinyTarget, emitted, run

PROMPT = [1, 0, 2]
NONE: frozenset[int] = frozenset()


class Branched(TinyTarget):
    """Counts one pass for all branches, and keeps what was asked."""

    def __init__(self, vocab: int = 11, key: int = 0) -> None:
        super().__init__(vocab, order=99, key=key)
        self.asked: list[list[tuple[int, ...]]] = []

    def branches(
        self, prefix: Sequence[int], tails: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        self.passes += 1
        self.asked.append([tuple(tail) for tail in tails])
        rows: NDArray[np.float64] = np.array([self.row([*prefix, *tail]) for tail in tails])
        return rows


class Scripted(TinyTarget):
    """Says what a table of probabilities has for the tokens after the prompt."""

    def __init__(self, table: dict[tuple[int, ...], Sequence[float]]) -> None:
        super().__init__()
        self.table = table

    def row(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            row: NDArray[np.float64] = np.log(self.table[tuple(tokens[len(PROMPT) :])])
        return row


def search(
    target: Target, sampling: Sampling, stop: frozenset[int] = NONE, room: int = 8
) -> list[Beam]:
    return list(beam_search(target, PROMPT, sampling, stop, room))


def answer(beams: Sequence[Beam]) -> tuple[int, ...]:
    return tuple(token for beam in beams for token in beam.tokens)


def rank(target: TinyTarget, tokens: Sequence[int], sampling: Sampling) -> float:
    score = 0.0
    for place, token in enumerate(tokens):
        row = target.row([*PROMPT, *tokens[:place]])
        score += float(row[token]) - math.log(sum(math.exp(each) for each in row))
    least = sampling.beam_min_length
    return score / math.pow((least + len(tokens)) / (least + 1), sampling.beam_alpha)


penalties = st.tuples(st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from([0.0, 0.6, 1.2, 4.0]))
stops = st.frozensets(st.integers(0, 3), max_size=2)
keys = st.integers(0, 2**32)


@given(keys, penalties, stops, st.sampled_from([(2, 6), (3, 3), (4, 3), (8, 2), (64, 1)]))
@settings(max_examples=60, deadline=None)
def test_with_room_for_every_beam_the_best_of_all_answers_is_found(key, penalty, stop, size):
    vocab, room = size
    least, alpha = penalty
    sampling = Sampling(
        num_beams=vocab**room, beam_top_k=vocab, beam_min_length=least, beam_alpha=alpha
    )
    target = Branched(vocab, key)
    whole = (
        text
        for length in range(1, room + 1)
        for text in product(range(vocab), repeat=length)
        if not stop & set(text[:-1]) and (text[-1] in stop or length == room)
    )
    best = max(whole, key=lambda text: rank(target, text, sampling))
    assert answer(search(target, sampling, stop, room)) == best


def reference(
    target: TinyTarget, sampling: Sampling, stop: frozenset[int], room: int
) -> list[list[tuple[int, ...]]]:
    """The beams after each step, by the definition and nothing else."""
    order = sorted(range(target.vocab), key=lambda token: -target.row(PROMPT)[token])
    beams: list[tuple[int, ...]] = [(token,) for token in order[: sampling.num_beams]]
    steps: list[list[tuple[int, ...]]] = []
    while True:
        beams = sorted(set(beams), key=lambda beam: -rank(target, beam, sampling))
        beams = beams[: sampling.num_beams]
        steps.append(beams)
        if len(steps) == room or all(beam[-1] in stop for beam in beams):
            return steps
        grown: list[tuple[int, ...]] = []
        for beam in beams:
            row = target.row([*PROMPT, *beam])
            order = np.argsort(-row)[: sampling.beam_top_k].tolist()
            more = [(*beam, token) for token in order]
            grown += [beam] if beam[-1] in stop else more
        beams = grown


def common(beams: Sequence[tuple[int, ...]]) -> int:
    shortest = min(map(len, beams))
    return next((n for n in range(shortest) if len({beam[n] for beam in beams}) > 1), shortest)


@given(
    keys,
    penalties,
    stops,
    st.integers(1, 6),
    st.integers(1, 13),
    st.sampled_from([1, 2, 3, 9]),
)
@settings(max_examples=80, deadline=None)
def test_each_step_is_the_defined_one(key, penalty, stop, beams, top_k, room):
    least, alpha = penalty
    sampling = Sampling(num_beams=beams, beam_top_k=top_k, beam_min_length=least, beam_alpha=alpha)
    target = Branched(key=key)
    found = search(target, sampling, stop, room)
    truth = reference(target, sampling, stop, room)
    assert answer(found) == truth[-1][0]
    assert target.passes == len(found) <= len(truth)
    said: tuple[int, ...] = ()
    for beam, kept in zip(found[:-1], truth, strict=False):
        said += beam.tokens
        assert len(said) == common(kept)
        assert said + beam.preview == kept[0]
    assert found[-1].preview == ()


@given(keys, stops, st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_what_is_settled_begins_every_later_beam(key, stop, beams):
    target, sampling = Branched(vocab=5, key=key), Sampling(num_beams=beams)
    found = search(target, sampling, stop, 12)
    whole = answer(found)
    assert len(whole) == 12 or whole[-1] in stop
    assert not stop & set(whole[:-1])
    for step, tails in enumerate(target.asked, start=1):
        settled = answer(found[:step])
        assert {tail[: len(settled)] for tail in tails} == {settled} == {whole[: len(settled)]}
        assert len(set(tails)) == len(tails) <= beams


@given(keys, stops, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_one_beam_is_greedy_decoding(key, stop, top_k):
    target = TinyTarget(key=key)
    greedy = emitted(run(target, PROMPT, Sampling(), Plain(), stop=stop, room=12))
    found = search(target, Sampling(num_beams=1, beam_top_k=top_k), stop, 12)
    assert [list(beam.tokens) for beam in found] == [[token] for token in greedy]
    assert not any(beam.preview for beam in found)


@given(keys, st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_a_target_without_branches_gives_the_same_beams(key, beams):
    sampling = Sampling(num_beams=beams)
    one_by_one = search(TinyTarget(order=99, key=key), sampling)
    at_once = search(Branched(key=key), sampling)
    assert [beam[:2] for beam in one_by_one] == [beam[:2] for beam in at_once]


def test_without_room_nothing_is_said():
    target = Branched()
    assert search(target, Sampling(num_beams=2), room=0) == []
    assert target.passes == 0


def test_other_options_of_sampling_change_nothing():
    plain = Sampling(num_beams=3)
    other = Sampling(
        num_beams=3, temperature=2.0, top_k=1, top_p=0.1, repetition_penalty=5.0, seed=4
    )
    assert answer(search(Branched(), plain)) == answer(search(Branched(), other))


FLAT = Sampling(num_beams=2, beam_top_k=3, beam_alpha=0.0)


def test_an_answer_may_be_a_stop_id_alone():
    target = Scripted({(): [0.6, 0.3, 0.1]})
    assert [beam[:2] for beam in search(target, FLAT, frozenset({0}))] == [((0,), ())]


def test_an_ended_beam_is_kept_and_can_be_overtaken_or_win():
    table = {
        (): [0.4, 0.6, 0.0],
        (1,): [0.1, 0.1, 0.8],
        (0,): [0.0, 0.2, 0.8],
        (1, 2): [0.5, 0.5, 0.0],
    }
    stop = frozenset({0})
    short = search(Scripted(table), FLAT, stop)
    assert [beam[:2] for beam in short] == [((), (1,)), ((), (1, 2)), ((0,), ())]
    longer = Sampling(num_beams=2, beam_alpha=1.0, beam_min_length=0.0)
    assert answer(search(Scripted(table), longer, stop, room=3)) == (1, 2, 0)


def test_the_search_ends_once_no_beam_can_overtake():
    table = {(): [0.0, 0.9, 0.1], (1,): [0.8, 0.1, 0.1], (2,): [0.1, 0.1, 0.8]}
    found = search(Scripted(table), FLAT, frozenset({0}), room=50)
    assert [beam[:2] for beam in found] == [((), (1,)), ((1, 0), ())]


def test_invalid_numbers_are_refused():
    target = Scripted({(): [math.nan, 1.0]})
    with pytest.raises(EngineError, match="invalid numbers"):
        search(target, FLAT)


@given(st.lists(st.sampled_from([-math.inf, -1.5, 0.0, 2.0]), min_size=1), st.integers(1, 9))
def test_the_likeliest_are_the_first_of_a_stable_sort(row, width):
    order = sorted(range(len(row)), key=lambda token: -row[token])
    assert likeliest(np.array(row), width) == order[:width]


def test_probabilities_are_kept_in_full_precision():
    row = np.array([80.0, 79.0, -math.inf, 0.0], dtype=np.float32)
    logs = log_softmax(row)
    assert logs.dtype == np.float64
    assert np.isclose(np.exp(logs).sum(), 1.0, rtol=1e-15)
    assert logs.max() <= 0


# Branches in the cache of the native target.


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Layered:
    return Layered("llama deep", tmp_path_factory.mktemp("deep"))


def branch_truth(peer: Peer, prefix: Sequence[int], tails: Sequence[Sequence[int]]):
    return np.array([peer.logits([*prefix, *tail])[-1] for tail in tails])


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=3)  # few, so that branches meet
growth = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), TOKENS), min_size=1, max_size=5)
detour = st.tuples(st.integers(1, 4), st.integers(0, 14), TOKENS, st.integers(1, 3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(growth, st.none() | detour), min_size=1, max_size=6))
def test_branches_that_grow_die_and_meet_give_the_logits_of_each_alone(peer, steps):
    target, prefix, tails, most = peer.open(), words(7), [()], 7
    depths = [target.early_exit(layers) for layers in range(1, 4)] + [target]
    for grown, other in steps:
        tails = [(*tails[at % len(tails)][:keep], *new) for at, keep, new in grown]
        near(target.branches(prefix, tails), branch_truth(peer, prefix, tails), 1e-9)
        nodes = {tail[:end] for tail in tails for end in range(1, len(tail) + 1)}
        most = max(most, len(prefix) + len(nodes))
        if other:  # another text, of any of the layers, takes the slots
            layers, keep, new, last = other
            text = [*prefix, *tails[0]][:keep] + new
            last = min(last, len(text))
            most = max(most, len(text))
            near(depths[layers - 1].logits(text, last), peer.first(layers, text)[-last:], 1e-9)
            prefix = text if keep > 9 else prefix
    a_slot = 4 * 2 * 2 * 16 * 8  # layers, keys and values, heads, head_dim, bytes
    assert target.memory()["kv_cache"] <= most * a_slot
    near(target.logits(prefix, len(prefix)), peer.logits(prefix), 1e-9)


def test_branches_share_slots_and_leave_the_prefix(peer):
    target, prefix = peer.open(), words(10)
    tails = [[1, 2, 3], [1, 2, 4], [1, 2, 3]]
    near(target.branches(prefix, tails), branch_truth(peer, prefix, tails), 1e-9)
    assert target.cached([*prefix, 1, 2, 4, 5]) == 13
    assert target.cached([*prefix, 2, 1]) == 10
    assert target.memory()["kv_cache"] == 14 * 4 * 2 * 2 * 16 * 8


def test_a_text_that_goes_on_with_a_branch_keeps_it(peer):
    target, prefix = peer.open(), words(10)
    early, deep = target.early_exit(1), target.early_exit(3)
    target.logits(prefix, 0)
    deep.branches(prefix, [[1, 2, 3, 4], [2, 6, 7, 8], [1, 2, 5]])
    text = [*prefix, 2, 6, 7, 9, 3]
    assert (early.cached(text), deep.cached(text), target.cached(text)) == (13, 13, 10)
    near(early.logits(text[:14], 1), peer.first(1, text)[13:14], 1e-9)
    assert (early.cached(text), deep.cached(text), target.cached(text)) == (14, 13, 10)
    near(deep.logits(text, 1), peer.first(3, text)[-1:], 1e-9)
    near(target.logits(text, 1), peer.logits(text)[-1:], 1e-9)


def test_a_branch_that_took_the_slots_of_dead_ones_is_kept_in_order(peer):
    target, prefix = peer.open(), words(10)
    target.branches(prefix, [[1, 2], [3, 4]])
    target.branches(prefix, [[3, 4, 5, 6]])
    assert target.memory()["kv_cache"] == 14 * 4 * 2 * 2 * 16 * 8
    text = [*prefix, 3, 4, 5, 6, 7]
    assert target.cached(text) == 14
    target.logits(text, 1)
    edited = [*text[:12], 9]  # attention asks for no order, but a crop does
    near(target.logits(edited, 1), peer.logits(edited)[-1:], 1e-9)


def test_branches_of_fewer_layers_are_their_own(peer):
    target, prefix = peer.open(), words(6)
    early = target.early_exit(2)
    lone = peer.open().early_exit(2)
    target.branches(prefix, [[1], [2]])
    near(early.branches(prefix, [[1, 3], [2, 3]]), lone.branches(prefix, [[1, 3], [2, 3]]), 1e-9)
    tails = [[1, 3, 4], [2, 3, 5]]
    near(target.branches(prefix, tails), branch_truth(peer, prefix, tails), 1e-9)


def test_more_branches_than_the_context_holds_are_refused_and_nothing_is_lost(peer):
    target, prefix = peer.open(context=16), words(10)
    tails = [[1, 2, 3], [2, 3, 4]]
    target.branches(prefix, tails)
    with pytest.raises(EngineError, match=r"context.*fewer beams"):
        target.branches(prefix, [*tails, [3]])
    near(target.branches(prefix, tails), branch_truth(peer, prefix, tails), 1e-9)
    with pytest.raises(EngineError, match="17 tokens do not fit"):
        target.branches(words(17), [[1]])


def test_a_failed_pass_leaves_no_branches(peer):
    target, prefix = peer.open(), words(10)
    target.branches(prefix, [[1], [2]])
    with pytest.raises(IndexError):
        target.branches(prefix, [[1, 2], [2, VOCAB]])
    tails = [[1, 2, 3], [2, 3, 4]]
    near(target.branches(prefix, tails), branch_truth(peer, prefix, tails), 1e-9)


class OneByOne:
    """A target without its branches."""

    def __init__(self, target: Target) -> None:
        self.logits, self.cached = target.logits, target.cached


@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("alpha", [0.0, 1.2])
def test_the_native_target_searches_as_one_that_is_asked_one_by_one(peer, beams, alpha):
    sampling = Sampling(num_beams=beams, beam_top_k=4, beam_alpha=alpha)
    stop = frozenset(range(0, VOCAB, 9))
    target = peer.open()
    for room in (1, 2, 3, 30):
        at_once = list(beam_search(target, words(9), sampling, stop, room))
        alone = list(beam_search(OneByOne(peer.open()), words(9), sampling, stop, room))
        assert [beam[:2] for beam in at_once] == [beam[:2] for beam in alone]
    whole = [*words(9), *answer(at_once), 5]
    near(target.logits(whole, 3), peer.logits(whole)[-3:], 1e-9)
