"""The target's own choice at one position: a pure function of logits, options and position."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .events import EngineError
from .options import Sampling

Logits = NDArray[np.floating]
Ids = NDArray[np.intp]
Uniforms = NDArray[np.float64]
Noise = NDArray[np.float64]

INVALID = (
    "The engine produced invalid numbers (NaN or infinity).",
    "Try another dtype or another model file.",
)
ALONE = 1e18  # a lead over nothing, finite so that a log can hold it
ROUNDING = 1e-6  # far more than float64 can be wrong by in a bound
LEAST_NOISE = 2.0**-54  # half of the least that is drawn above 0


def pick(logits: Logits, sampling: Sampling, tokens: Sequence[int]) -> int:
    """The token chosen from `logits` [vocab] to follow `tokens`, the whole text before it.

    Sampling is an exponential race (Gumbel-max): a token arrives after a noise that depends on
    (seed, position, id) alone, divided by its weight, and the first wins. So any drafter that
    calls `pick` with the same options is coupled to the target and none changes the text.
    Raises EngineError where the logits hold no usable number.
    """
    kept, worth = _choices(logits, sampling, tokens)
    if sampling.temperature == 0 or len(worth) == 1:
        won = int(np.argmax(worth))
    else:
        uniforms = _uniforms(kept, len(logits), sampling, len(tokens))
        won = _winner(worth, uniforms, sampling.temperature)
    return won if kept is None else int(kept[won])


def margin(logits: Logits, sampling: Sampling, tokens: Sequence[int]) -> float:
    """By how much the pick leads the second choice, in logits (over the temperature where there
    is one); `ALONE` where nothing else can be picked."""
    kept, worth = _choices(logits, sampling, tokens)
    if len(worth) == 1:
        return ALONE
    if sampling.temperature:
        uniforms = _uniforms(kept, len(logits), sampling, len(tokens))
        worth = -_log_times(worth, uniforms, sampling.temperature)
    second, best = np.partition(worth, -2)[-2:]
    return min(float(best) - float(second), ALONE)


def penalised(logits: Logits, tokens: Sequence[int], penalty: float) -> Logits:
    """`logits` where each token that occurs in `tokens` is worth less (Keskar et al. 2019): a
    positive logit is divided by the penalty and a negative one multiplied, once however often
    it occurs."""
    said = np.fromiter(tokens, dtype=np.intp, count=len(tokens))
    worth = logits[said]
    changed = logits.copy()
    changed[said] = np.where(worth > 0, worth / penalty, worth * penalty)
    return changed


def candidates(logits: Logits, sampling: Sampling) -> tuple[Ids | None, Logits]:
    """Ids that survive top-k, then top-p, then min-p, all at temperature 1, and their logits.
    They ascend and are never empty; None is all."""
    kept: Ids | None = None
    filters = (
        (_top_k, sampling.top_k, 0),
        (_top_p, sampling.top_p, 1),
        (_min_p, sampling.min_p, 0),
    )
    for survivors, limit, off in filters:
        if limit != off:
            chosen = survivors(logits, limit)
            logits = logits[chosen]
            kept = chosen if kept is None else kept[chosen]
    return kept, logits


def _choices(
    logits: Logits, sampling: Sampling, tokens: Sequence[int]
) -> tuple[Ids | None, Logits]:
    if not np.isfinite(logits.max()):  # which is NaN where any is
        raise EngineError(*INVALID)
    if sampling.repetition_penalty != 1:
        logits = penalised(logits, tokens, sampling.repetition_penalty)
    return candidates(logits, sampling) if sampling.temperature else (None, logits)


def _top_k(logits: Logits, k: float) -> Ids:
    k = min(int(k), len(logits))
    return _highest(logits, np.partition(logits, -k)[-k], k)


def _top_p(logits: Logits, share: float) -> Ids:
    """The likeliest that together reach `share`, with the one that crosses it (Holtzman et al.
    2020)."""
    top = float(logits.max())
    mass = float(_weights(logits, top).sum())
    # All that are lighter than this weigh half of what may be left out, so few need sorting.
    light = top + math.log((1 - share) / 2 * mass / len(logits))
    heavy = np.sort(logits[np.flatnonzero(logits > light)])[::-1]
    reached = np.cumsum(_weights(heavy, top))
    crossing = min(int(np.searchsorted(reached, share * mass)), len(heavy) - 1)
    return _highest(logits, heavy[crossing], crossing + 1)


def _weights(logits: Logits, top: float) -> NDArray[np.float64]:
    """In place, since fresh memory costs more than the arithmetic."""
    weights = logits.astype(np.float64)
    weights -= top
    return np.exp(weights, out=weights)


def _min_p(logits: Logits, share: float) -> Ids:
    return np.flatnonzero(logits >= float(logits.max()) + math.log(share))


def _highest(logits: Logits, edge: np.floating, count: int) -> Ids:
    """The `count` highest, of which `edge` is the lowest; of equal ones the lower ids stay."""
    kept = np.flatnonzero(logits >= edge)
    surplus = len(kept) - count
    return np.delete(kept, np.flatnonzero(logits[kept] == edge)[-surplus:]) if surplus else kept


def _uniforms(kept: Ids | None, vocabulary: int, sampling: Sampling, position: int) -> Uniforms:
    """A draw from [0, 1) for each id in `kept`, the same whatever else is kept.

    The words of Philox4x64-10 (Salmon et al. 2011) with the seed as key and (1 + id // 4,
    position) as counter, of which the upper 53 bits count: kernels/philox.py draws the same on a
    GPU. numpy's because torch's CPU generator ignores all but the low 32 bits of a seed.
    """
    bits = np.random.Philox(key=sampling.seed or 0, counter=position << 64)
    size = vocabulary if kept is None else int(kept[-1]) + 1  # drawn in the order of ids
    uniforms = np.random.Generator(bits).random(size)
    return uniforms if kept is None else uniforms[kept]


def _noise(uniforms: Uniforms) -> Noise:
    """Unit exponentials, which grow with the draws; 1 - u is exact. In float64: of float32 draws
    one in millions is exactly 0, and over a large vocabulary that lets a hopeless token win every
    few hundred places."""
    return np.maximum(-np.log(1 - uniforms), LEAST_NOISE)


def _winner(worth: Logits, uniforms: Uniforms, temperature: float) -> int:
    """The first to arrive, looked for only among those who can be.

    The likeliest and the one of least noise tell `by` when somebody is there. Who is earlier has
    less noise than that, and is likely enough to be so at least with the least noise of all.
    """
    best, least = int(np.argmax(worth)), int(np.argmin(uniforms))
    top = float(worth[best])
    high, low = np.log(_noise(uniforms[[best, least]])).tolist()
    by = min(high, low + (top - float(worth[least])) / temperature) + ROUNDING
    limit = ROUNDING - math.expm1(-math.exp(by))
    near = np.flatnonzero((worth >= top - temperature * (by - low)) & (uniforms <= limit))
    return int(near[np.argmin(_log_times(worth[near], uniforms[near], temperature))])


def _log_times(worth: Logits, uniforms: Uniforms, temperature: float) -> NDArray[np.float64]:
    """log of when each arrives, up to a term that all share."""
    behind: NDArray[np.float64] = worth.max() - worth.astype(np.float64)
    with np.errstate(over="ignore"):  # of a temperature of next to nothing
        behind /= temperature
    behind += np.log(_noise(uniforms))
    return behind
