"""What is drawn over many seeds and places follows the exact distribution. Everything is seeded, so
a test passes always or never."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from tokenhud.engines.draft_model import DraftModel
from tokenhud.engines.drafters import Plain
from tokenhud.engines.ngram import Ngram
from tokenhud.engines.options import Sampling
from tokenhud.engines.pick import pick
from tokenhud.engines.suffix import Suffix

from .tiny import Oracle, TinyTarget, emitted, run

LEVEL = 3.0902  # standard deviations: 0.999 of a normal distribution lies below
FEW = 5  # expected draws under which cells are counted together
WORTH = np.array([1.0, 0.3, -0.5, 2.0, 0.0, -1.0, 0.7, 1.5])
SAID = [3, 0, 5, 3]


def misfit(seen, expected):
    """Chi-square over its 0.999 quantile (Wilson and Hilferty 1931: within 1 %): a fit stays under
    1. What cannot be must not be seen."""
    seen, expected = np.ravel(seen).astype(float), np.ravel(expected)
    assert not seen[expected == 0].any()
    large = expected >= FEW
    if (~large & (expected > 0)).any():
        seen, expected = (np.append(each[large], each[~large].sum()) for each in (seen, expected))
    else:
        seen, expected = seen[large], expected[large]
    degrees = len(seen) - 1
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + LEVEL * math.sqrt(spread)) ** 3
    return ((seen - expected) ** 2 / expected).sum() / quantile


def share(logits, sampling, tokens=()):
    """The exact distribution, from the definition of each option."""
    worth = np.array(logits, dtype=float)
    for token in set(tokens):
        penalty = sampling.repetition_penalty
        worth[token] = worth[token] / penalty if worth[token] > 0 else worth[token] * penalty
    order = np.argsort(-worth, kind="stable")[: sampling.top_k or None]
    weights = np.exp(worth[order])
    if sampling.top_p < 1:
        before = np.cumsum(weights) - weights
        order = order[before < sampling.top_p * weights.sum()]
    order = order[worth[order] >= worth.max() + math.log(sampling.min_p or 1e-300)]
    shares = np.zeros(len(worth))
    shares[order] = np.exp(worth[order] / sampling.temperature)
    return shares / shares.sum()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 3.0},
        {"top_k": 4},
        {"top_p": 0.8},
        {"top_k": 5, "top_p": 0.7},
        {"min_p": 0.2},
        {"repetition_penalty": 1.8},
        {"temperature": 1.4, "top_k": 6, "top_p": 0.95, "min_p": 0.1, "repetition_penalty": 1.3},
    ],
    ids=str,
)
def test_draws_follow_the_exact_distribution(options):
    logits = WORTH.astype(np.float32)
    options = {"temperature": 1.0, **options}
    seen = np.zeros(8)
    for seed in range(2**40, 2**40 + 20):
        sampling = Sampling(**options, seed=seed)
        for more in range(500):
            seen[pick(logits, sampling, SAID + SAID[:1] * more)] += 1
    assert misfit(seen, share(WORTH, sampling, SAID) * seen.sum()) < 1


def distances(one, other, draws):
    """How far apart the winners of two races between equals are, around the circle, in 24 classes:
    noise that one race took over from the other, shifted or not, would make some class frequent."""
    equal = np.zeros(2400)
    winners = ((pick(equal, *one(i)), pick(equal, *other(i))) for i in range(draws))
    return np.bincount([(a - b) % 2400 // 100 for a, b in winners], minlength=24)


SEEDS = [Sampling(temperature=1, seed=seed) for seed in range(2**32 - 2001, 2**32 + 1999)]


@pytest.mark.parametrize("places", [1, 2, 4])
def test_noise_of_neighbouring_positions_is_independent(places):
    seen = distances(
        lambda i: (SEEDS[0], range(2 * i)), lambda i: (SEEDS[0], range(2 * i + places)), 2000
    )
    assert misfit(seen, np.full(24, 2000 / 24)) < 1


@pytest.mark.parametrize("places", [-1, 0, 1])
def test_noise_of_neighbouring_seeds_is_independent(places):
    seen = distances(
        lambda i: (SEEDS[2 * i], range(5)),
        lambda i: (SEEDS[2 * i + 1], range(5 + places)),
        2000,
    )
    assert misfit(seen, np.full(24, 2000 / 24)) < 1


def test_neighbouring_picks_of_a_likely_few_are_independent():
    sampling, draws = Sampling(temperature=1, top_k=4, seed=11), 8000
    shares = share(WORTH, sampling)
    seen = np.zeros((8, 8))
    for i in range(0, 2 * draws, 2):
        seen[pick(WORTH, sampling, range(i)), pick(WORTH, sampling, range(i + 1))] += 1
    assert misfit(seen, np.outer(shares, shares) * draws) < 1


class Tabled(TinyTarget):
    """Remembers its rows: the same few texts are asked for thousands of times."""

    context = 100

    def __init__(self, key: int) -> None:
        super().__init__(vocab=4, key=key)
        self.rows: dict[tuple[int, ...], np.ndarray] = {}

    def row(self, tokens):
        key = tuple(tokens)
        if key not in self.rows:
            self.rows[key] = super().row(tokens) / 2
        return self.rows[key]


PROMPT = [1, 2, 1, 3, 1, 2]
LENGTH, ANSWERS = 3, 3000


def drafters(target, greedy):
    return {
        "plain": Plain(),
        "oracle": Oracle(greedy, len(PROMPT)),
        "ngram": Ngram(n=3, reset_in_between=False),
        "suffix": Suffix(keep=True),
        "its own model": DraftModel(target, 4),
        "another model": DraftModel(Tabled(key=9), 4),
    }


def answers(target, drafter, options):
    """How often each continuation was drawn, and how many drafted tokens were kept and not."""
    seen: Counter[tuple[int, ...]] = Counter()
    kept = drafted = 0
    for seed in range(ANSWERS):
        sampling = Sampling(**options, seed=seed)
        drafter.begin(PROMPT, sampling)
        blocks = run(target, PROMPT, sampling, drafter, gamma=2, room=LENGTH)
        seen[tuple(emitted(blocks))] += 1
        kept += sum(block.accepted for block in blocks)
        drafted += sum(block.drafted for block in blocks)
    return seen, kept, drafted


def joint(target, options):
    """The exact probability of every continuation."""
    sampling = Sampling(**options)
    texts = list(product(range(4), repeat=LENGTH))
    chances = []
    for text in texts:
        befores = [[*PROMPT, *text[:place]] for place in range(LENGTH)]
        steps = zip(befores, text, strict=True)
        chances.append(
            math.prod(share(target.row(before), sampling, before)[token] for before, token in steps)
        )
    return texts, np.array(chances)


@pytest.mark.parametrize(
    "name", ["plain", "oracle", "ngram", "suffix", "its own model", "another model"]
)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 1.5, "top_k": 3, "top_p": 0.97, "repetition_penalty": 1.3},
    ],
    ids=str,
)
def test_whole_continuations_follow_the_exact_joint_distribution(options, name):
    target = Tabled(key=4)
    greedy = emitted(run(target, PROMPT, Sampling(), room=LENGTH))
    seen, kept, drafted = answers(target, drafters(target, greedy)[name], options)
    texts, chances = joint(target, options)
    assert misfit([seen[text] for text in texts], chances * ANSWERS) < 1
    assert (kept > 0) == (name != "plain")
    assert (drafted > kept) == (name not in ("plain", "its own model"))


def test_the_measure_tells_a_bias_towards_the_draft():
    """What comes of drawing again where a draft is refused, instead of keeping the draw."""
    fair = np.array([0.4, 0.3, 0.2, 0.1])
    biased = np.array([0.7 * 0.4, 0.3 + 0.7 * 0.3, 0.7 * 0.2, 0.7 * 0.1])
    assert biased.sum() == pytest.approx(1)
    assert misfit(biased * ANSWERS, fair * ANSWERS) > 5
