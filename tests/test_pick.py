from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenhud.engines.events import EngineError, Step
from tokenhud.engines.options import MAX_SEED, Sampling
from tokenhud.engines.pick import ALONE, candidates, margin, penalised, pick
from tokenhud.sessions.encoding import from_line, to_line

numbers = st.floats(-30, 30, width=32) | st.sampled_from([-np.inf, -2.0, 0.0, 1.0, 5.0])  # ties
rows = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: arrays(dtype, st.integers(1, 40), elements=numbers)
)
seeds = st.integers(0, MAX_SEED)
temperatures = st.floats(0.01, 100) | st.sampled_from([1e-300, 1.0])
samplings = st.builds(
    Sampling,
    temperature=temperatures,
    top_k=st.integers(0, 50),
    top_p=st.floats(0, 0.999) | st.just(1.0),
    min_p=st.floats(0, 1) | st.just(0.0),
    seed=seeds,
)


def kept(logits, sampling):
    ids, _ = candidates(logits, sampling)
    return list(range(len(logits)) if ids is None else ids)


def sorted_out(logits, sampling):
    """The filters by sorting everything: what is kept, likeliest first."""
    order = np.argsort(-logits, kind="stable")[: sampling.top_k or None]
    weights = np.exp(logits[order].astype(np.float64) - float(logits.max()))
    if sampling.top_p < 1:
        before = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
        inside = before < sampling.top_p * weights.sum()
        order, weights = order[: max(1, inside.sum())], weights[: max(1, inside.sum())]
    return order[weights >= sampling.min_p] if sampling.min_p else order


def race(logits, sampling, position):
    """Ids and scores of all that run, by the definition: logit over temperature, plus Gumbel
    noise of (seed, position) and the id."""
    ids = sorted_out(logits, sampling)
    words = np.random.Philox(key=sampling.seed, counter=position << 64).random_raw(len(logits))
    uniforms = (words >> np.uint64(11)) * 2.0**-53
    noise = np.log(-np.log1p(-uniforms))
    with np.errstate(over="ignore"):
        worth = (logits[ids].astype(np.float64) - float(logits.max())) / sampling.temperature
    return ids, worth - noise[ids]


@given(rows, seeds)
def test_greedy_is_the_first_argmax_whatever_the_seed_and_filters(logits, seed):
    assume(np.isfinite(logits).any())
    sampling = Sampling(top_k=2, top_p=0.5, min_p=0.5, seed=seed)
    assert pick(logits, sampling, [0] * 3) == int(np.argmax(logits))


@given(rows, samplings, st.integers(0, 10**7))
def test_a_pick_is_the_winner_of_the_race_over_all_that_is_kept(logits, sampling, place):
    assume(np.isfinite(logits).any())
    ids, scores = race(logits, sampling, place)
    before = logits.copy()
    assert pick(logits, sampling, range(place)) == ids[np.argmax(scores)]
    assert np.array_equal(logits, before)


@pytest.mark.parametrize("temperature", [0.05, 0.8, 3.0, 100.0])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"top_k": 40},
        {"top_p": 0.9},
        {"top_p": 0.999},
        {"min_p": 0.05},
        {"top_k": 1000, "top_p": 0.7, "min_p": 0.01},
    ],
    ids=str,
)
def test_so_it_is_over_a_large_vocabulary(filters, temperature):
    generator = np.random.default_rng(8)
    for place in range(12):
        logits = generator.normal(scale=1 + place / 4, size=20_000).astype(np.float32)
        sampling = Sampling(temperature=temperature, seed=place, **filters)
        ids, scores = race(logits, sampling, place)
        assert pick(logits, sampling, range(place)) == ids[np.argmax(scores)]


@given(rows, samplings)
@example(np.zeros(5), Sampling(temperature=1, top_k=3))
@example(np.array([0.0, 2.0, 0.0, 2.0, 0.0]), Sampling(temperature=1, top_k=3, top_p=0.99))
@example(np.array([0.0, -np.inf, -np.inf]), Sampling(temperature=1, top_k=2, min_p=1e-300))
def test_filters_keep_what_sorting_would(logits, sampling):
    assume(np.isfinite(logits).any())
    ids, worth = candidates(logits, sampling)
    assert kept(logits, sampling) == sorted(sorted_out(logits, sampling))
    assert np.array_equal(worth, logits if ids is None else logits[ids])


@given(rows, st.integers(0, 12), st.floats(0, 1), st.floats(0, 1))
def test_filters_keep_the_best_and_only_the_likeliest(logits, top_k, top_p, min_p):
    assume(np.isfinite(logits).any())
    ids = kept(logits, Sampling(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p))
    assert int(np.argmax(logits)) in ids
    assert len(ids) <= (top_k or len(logits))
    dropped = np.setdiff1d(np.arange(len(logits)), ids)
    assert dropped.size == 0 or logits[dropped].max() <= logits[ids].min()


def test_the_token_that_crosses_top_p_is_kept():
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    assert kept(logits, Sampling(temperature=1, top_p=0.5)) == [0]
    assert kept(logits, Sampling(temperature=1, top_p=0.51)) == [0, 1]
    assert kept(logits, Sampling(temperature=1, top_p=0.0)) == [0]


def test_top_p_counts_the_mass_that_top_k_left():
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
    assert kept(logits, Sampling(temperature=1, top_p=0.5)) == [0, 1]
    assert kept(logits, Sampling(temperature=1, top_p=0.5, top_k=2)) == [0]


@given(rows, samplings, temperatures)
def test_filters_look_at_temperature_1(logits, sampling, temperature):
    assume(np.isfinite(logits).any())
    other = Sampling(temperature, sampling.top_k, sampling.top_p, sampling.min_p)
    assert kept(logits, sampling) == kept(logits, other)


@given(rows, samplings, st.integers(1, 30))
def test_ids_that_cannot_be_picked_change_nothing(logits, sampling, more):
    """So two models of one family that pad their vocabularies differently share their noise."""
    assume(np.isfinite(logits).any())
    padded = np.append(logits, np.full(more, -np.inf, dtype=logits.dtype))
    assert pick(padded, sampling, [0]) == pick(logits, sampling, [0])


@given(
    arrays(np.float64, st.integers(1, 12), elements=st.floats(-9, 9) | st.just(0.0)),
    st.floats(0.1, 10),
    st.data(),
)
def test_the_penalty_follows_its_formula(logits, penalty, data):
    tokens = data.draw(st.lists(st.integers(0, len(logits) - 1)))
    expected = [
        value if token not in tokens else value / penalty if value > 0 else value * penalty
        for token, value in enumerate(logits)
    ]
    before = logits.copy()
    assert penalised(logits, tokens, penalty).tolist() == expected
    assert np.array_equal(logits, before)


def test_the_penalty_counts_a_repeated_token_once_and_keeps_the_dtype():
    changed = penalised(np.array([4.0, -4.0, 0.0, 3.0], dtype=np.float32), [0, 1, 1, 2, 0], 2.0)
    assert changed.tolist() == [2.0, -8.0, 0.0, 3.0]
    assert changed.dtype == np.float32


def test_the_penalty_comes_before_filters_and_greedy_choice():
    logits = np.array([2.0, 1.9, 1.0])
    assert pick(logits, Sampling(repetition_penalty=2.0), [0]) == 1
    assert pick(logits, Sampling(temperature=1, top_k=1, repetition_penalty=2.0, seed=1), [0]) == 1
    assert pick(logits, Sampling(repetition_penalty=2.0), [0, 1, 0]) == 0


@given(rows, samplings, st.integers(0, 100))
def test_the_margin_is_the_lead_over_the_second_score(logits, sampling, place):
    assume(np.isfinite(logits).any())
    scores = sorted(race(logits, sampling, place)[1])
    lead = min(scores[-1] - scores[-2], ALONE) if len(scores) > 1 else ALONE
    assert margin(logits, sampling, range(place)) == pytest.approx(lead, rel=1e-6, abs=1e-6)


@given(rows)
def test_the_greedy_margin_is_that_of_the_logits(logits):
    assume(len(logits) > 1 and np.isfinite(logits).any())
    second, best = sorted(map(float, logits))[-2:]
    assert margin(logits, Sampling(), []) == min(best - second, ALONE)


def test_the_margin_is_zero_on_a_tie_and_after_the_penalty():
    assert margin(np.array([1.0, 3.0, 3.0]), Sampling(), []) == 0
    assert margin(np.array([4.0, 2.0]), Sampling(repetition_penalty=2.0), [0]) == 0


@pytest.mark.parametrize(
    ("logits", "sampling"),
    [
        ([1.0], Sampling()),
        ([1.0], Sampling(temperature=1, seed=1)),
        ([0.0, 0.0], Sampling(temperature=1, top_k=1, seed=1)),
        ([0.0, -np.inf], Sampling()),
        ([0.0, -np.inf], Sampling(temperature=1, seed=1)),
    ],
)
def test_the_margin_is_beyond_all_others_where_nothing_else_can_be_picked(logits, sampling):
    lead = margin(np.array(logits), sampling, [])
    assert lead == ALONE
    step = Step((1,), ("a",), 0, 0, 1, margins=(lead,))
    assert from_line(to_line(step, 1)) == step  # a log can hold it


def test_high_and_low_seed_bits_both_count():
    low, high = (
        [pick(np.zeros(50), Sampling(temperature=1, seed=seed), range(at)) for at in range(20)]
        for seed in (7, 7 + 2**40)
    )
    assert low != high


@given(st.floats(1, 10, width=32), st.integers(0, 200))
def test_a_temperature_of_next_to_nothing_is_greedy(best, place):
    logits = np.array([0.0, best, -5.0, -np.inf], dtype=np.float32)
    assert pick(logits, Sampling(temperature=5e-324, seed=place), range(place)) == 1


def test_a_masked_token_is_never_picked():
    logits = np.array([0.0, -np.inf, 0.0])
    draws = {pick(logits, Sampling(temperature=1, seed=3), range(place)) for place in range(200)}
    assert draws == {0, 2}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("choose", [pick, margin])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_numbers_that_are_none_end_the_answer(bad, choose, temperature):
    with pytest.raises(EngineError, match="invalid numbers"):
        choose(np.array([0.0, bad, 1.0]), Sampling(temperature=temperature, seed=1), [])


def test_all_masked_is_invalid_too():
    with pytest.raises(EngineError, match="invalid numbers"):
        pick(np.full(4, -np.inf), Sampling(), [])


def test_a_large_vocabulary_never_brings_a_hopeless_token():
    """A noise of exactly 0 would make any token win; float32 draws hold one in millions."""
    logits = np.zeros(50_000, dtype=np.float32)
    logits[7] = 60.0
    draws = {pick(logits, Sampling(temperature=1, seed=42), range(place)) for place in range(1500)}
    assert draws == {7}
