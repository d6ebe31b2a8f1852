"""The target's own choice at one position: a pure function of logits, options and position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .events import EngineError
from .options import Sampling

Logits = NDArray[np.floating]


def pick(logits: Logits, sampling: Sampling, position: int) -> int:
    """The token chosen from `logits` [vocab] for the place `position` of the whole sequence.

    Sampling is a Gumbel-max race whose noise depends on (seed, position) alone, so any drafter
    that calls `pick` with the same options is coupled to the target and none changes the text.
    Raises EngineError where the logits hold no usable number.
    """
    best = int(np.argmax(logits))  # NaN wins argmax, so this one look finds it
    if not np.isfinite(logits[best]):
        raise EngineError(
            "The engine produced invalid numbers (NaN or infinity).",
            "Try another dtype or another model file.",
        )
    if sampling.temperature == 0:
        return best
    kept = candidates(logits, sampling)
    race = _log_noise(len(logits), sampling.seed or 0, position)
    scores = logits[kept] / logits.dtype.type(sampling.temperature) - race[kept]
    return int(kept[np.argmax(scores)])


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
