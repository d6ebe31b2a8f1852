"""The target's own choice at one position: a pure function of logits, options and position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .events import EngineError
from .options import Sampling

Logits = NDArray[np.floating]


def pick(logits: Logits, sampling: Sampling, tokens: Sequence[int]) -> int:
    """The token chosen from `logits` [vocab] to follow `tokens`, the whole text before it.

    Sampling is a Gumbel-max race whose noise depends on (seed, position) alone, so any drafter
    that calls `pick` with the same options is coupled to the target and none changes the text.
    Raises EngineError where the logits hold no usable number.
    """
    kept, scores = _scores(logits, sampling, tokens)
    best = int(np.argmax(scores))
    return best if kept is None else int(kept[best])


def margin(logits: Logits, sampling: Sampling, tokens: Sequence[int]) -> float:
    """By how much the pick leads the second choice, in logits (over the temperature where there
    is one); infinite where nothing else can be picked."""
    _, scores = _scores(logits, sampling, tokens)
    if len(scores) < 2:
        return np.inf
    second, best = np.partition(scores, -2)[-2:]
    return float(best - second)


def _scores(
    logits: Logits, sampling: Sampling, tokens: Sequence[int]
) -> tuple[NDArray[np.intp] | None, Logits]:
    """The ids that may be picked (None is all, in order) and what each is worth."""
    best = int(np.argmax(logits))  # NaN wins argmax, so this one look finds it
    if not np.isfinite(logits[best]):
        raise EngineError(
            "The engine produced invalid numbers (NaN or infinity).",
            "Try another dtype or another model file.",
        )
    if sampling.repetition_penalty != 1:
        logits = penalised(logits, tokens, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return None, logits
    kept = candidates(logits, sampling)
    race = _log_noise(len(logits), sampling.seed or 0, len(tokens))
    return kept, logits[kept] / logits.dtype.type(sampling.temperature) - race[kept]


def penalised(logits: Logits, tokens: Sequence[int], penalty: float) -> Logits:
    """`logits` where each token that occurs in `tokens` is worth less (Keskar et al. 2019): a
    positive logit is divided by the penalty and a negative one multiplied, once however often
    it occurs."""
    said = np.unique(np.asarray(tokens, dtype=np.intp))
    changed = logits.copy()
    worth = logits[said]
    changed[said] = np.where(worth > 0, worth / penalty, worth * penalty)
    return changed


def candidates(logits: Logits, sampling: Sampling) -> NDArray[np.intp]:
    """Ids that survive top-k, then top-p, then min-p, all at temperature 1; never empty.

    The token that crosses top_p is kept, as in Holtzman et al. 2020. Ties at the k-th place keep
    the lower ids.
    """
    if sampling.top_k == 0 and sampling.top_p == 1 and sampling.min_p == 0:
        return np.arange(len(logits))
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    weights = np.exp((logits[order] - logits[order[0]]).astype(np.float64))
    if sampling.top_p < 1:
        before = np.cumsum(weights) - weights
        order = order[before < sampling.top_p * weights.sum()] if sampling.top_p else order[:1]
    weights = weights[: len(order)]
    kept: NDArray[np.intp] = order[weights >= sampling.min_p * weights[0]]
    return kept


def _log_noise(size: int, seed: int, position: int) -> NDArray[np.floating]:
    """log of `size` unit exponentials; numpy's Philox because torch's CPU generator ignores all
    but the low 32 bits of a seed. In float64: of float32 draws one in millions is exactly 0, and
    over a large vocabulary that lets a hopeless token win every few hundred places."""
    bits = np.random.Philox(key=seed, counter=position << 64)
    return np.log(np.random.Generator(bits).standard_exponential(size))
