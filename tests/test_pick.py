from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Sampling
from tokenhud.engines.pick import candidates, pick

rows = arrays(np.float64, st.integers(1, 40), elements=st.floats(-30, 30))
CHI_SQUARE_999 = {7: 24.32}  # the 0.999 quantile by degrees of freedom


def share(logits, temperature):
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


@given(rows, st.integers(0, 10**6))
def test_greedy_is_the_first_argmax_whatever_the_seed(logits, seed):
    assert pick(logits, Sampling(seed=seed), [0] * 3) == int(np.argmax(logits))


@given(rows, st.integers(0, 2**63 - 1), st.integers(0, 10**7), st.floats(0.1, 5))
def test_the_same_seed_and_place_pick_the_same_token(logits, seed, place, temperature):
    sampling = Sampling(temperature=temperature, seed=seed)
    assert pick(logits, sampling, range(place)) == pick(logits.copy(), sampling, range(place))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_draws_follow_the_exact_distribution(temperature):
    logits = np.array([1.0, 0.3, -0.5, 2.0, 0.0, -1.0, 0.7, 1.5])
    sampling = Sampling(temperature=temperature, seed=2**40 + 5)
    draws = 20_000
    seen = np.bincount(
        [pick(logits, sampling, range(place)) for place in range(draws)], minlength=8
    )
    expected = share(logits, temperature) * draws
    assert ((seen - expected) ** 2 / expected).sum() < CHI_SQUARE_999[7]


def test_filters_leave_the_renormalised_distribution():
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03]))
    sampling = Sampling(temperature=1.0, top_k=4, top_p=0.8, min_p=0.2, seed=1)
    seen = np.bincount([pick(logits, sampling, range(place)) for place in range(4000)], minlength=5)
    assert seen[3:].sum() == 0
    assert seen[:3] / 4000 == pytest.approx(np.array([0.5, 0.25, 0.15]) / 0.9, abs=0.03)


@given(rows, st.integers(0, 12), st.floats(0, 1), st.floats(0, 1))
def test_filters_keep_the_best_and_only_the_likeliest(logits, top_k, top_p, min_p):
    sampling = Sampling(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p)
    kept = candidates(logits, sampling)
    assert int(np.argmax(logits)) in kept
    assert len(kept) <= (top_k or len(logits))
    dropped = np.setdiff1d(np.arange(len(logits)), kept)
    assert dropped.size == 0 or logits[dropped].max() <= logits[kept].min()


def test_the_token_that_crosses_top_p_is_kept():
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    assert list(candidates(logits, Sampling(temperature=1, top_p=0.5))) == [0]
    assert list(candidates(logits, Sampling(temperature=1, top_p=0.51))) == [0, 1]
    assert list(candidates(logits, Sampling(temperature=1, top_p=0.0))) == [0]


def test_high_and_low_seed_bits_both_count():
    logits = np.zeros(50)
    low, high = (
        [pick(logits, Sampling(temperature=1, seed=seed), range(place)) for place in range(20)]
        for seed in (7, 7 + 2**40)
    )
    assert low != high


def test_a_masked_token_is_never_picked():
    logits = np.array([0.0, -np.inf, 0.0])
    draws = {pick(logits, Sampling(temperature=1, seed=3), range(place)) for place in range(200)}
    assert draws == {0, 2}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_numbers_that_are_none_end_the_answer(bad, temperature):
    with pytest.raises(EngineError, match="invalid numbers"):
        pick(np.array([0.0, bad, 1.0]), Sampling(temperature=temperature, seed=1), [])


def test_all_masked_is_invalid_too():
    with pytest.raises(EngineError, match="invalid numbers"):
        pick(np.full(4, -np.inf), Sampling(), [])


def test_a_large_vocabulary_never_brings_a_hopeless_token():
    """A noise of exactly 0 would make any token win; float32 draws hold one in millions."""
    logits = np.zeros(50_000, dtype=np.float32)
    logits[7] = 60.0
    draws = {pick(logits, Sampling(temperature=1, seed=42), range(place)) for place in range(1500)}
    assert draws == {7}
