"""Beam search: the likeliest answer among those that a few of the best beginnings lead to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .choosing import Target
from .options import Sampling
from .pick import Logits, pick

LIKELIEST = Sampling()


class Beam(NamedTuple):
    """What one step of the search settled, and what it would go on with."""

    tokens: tuple[int, ...]  # all beams agree on them; at the end, the rest of the best one
    preview: tuple[int, ...]  # of the best beam; a later step can change them
    pass_ns: int


class Hypothesis(NamedTuple):
    tokens: tuple[int, ...]
    score: float  # log-probability of the tokens
    rank: float  # that, over the length penalty
    done: bool  # it ends with a stop id and is kept as it is


@runtime_checkable
class Branching(Protocol):
    """A target that evaluates several continuations of one text in one pass."""

    def branches(self, prefix: Sequence[int], tails: Sequence[Sequence[int]]) -> Logits:
        """Logits [tails, vocab] after `prefix` and each of `tails`, one at least and none empty."""
        ...


def beam_search(
    target: Target,
    prompt: Sequence[int],
    sampling: Sampling,
    stop: Collection[int],
    room: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Iterator[Beam]:
    """One `Beam` a pass. Their tokens together are the best answer of at most `room` tokens.

    Probabilities are those of the model itself: no temperature, filter or repetition penalty. The
    first step keeps the `num_beams` likeliest tokens. Each further one tries the `beam_top_k`
    likeliest continuations of each beam and keeps the `num_beams` that rank best, among them
    those that have ended. No two are ever alike, since each continues another beam or token.
    """
    beams = [Hypothesis((), 0.0, 0.0, done=False)]
    settled, over = 0, room < 1
    while not over:
        began = clock()
        width = sampling.beam_top_k if beams[0].tokens else sampling.num_beams
        beams = _step(target, prompt, beams, sampling, stop, width)
        best = beams[0].tokens
        over = _over(beams, sampling, room)
        common = len(best) if over else _common([beam.tokens for beam in beams])
        yield Beam(best[settled:common], best[common:], clock() - began)
        settled = common


def _step(
    target: Target,
    prompt: Sequence[int],
    beams: Sequence[Hypothesis],
    sampling: Sampling,
    stop: Collection[int],
    width: int,
) -> list[Hypothesis]:
    """The best of what the beams lead to, best first; of equals, those of the better beam and
    then the likelier and the lower token."""
    rows = _rows(target, prompt, [beam.tokens for beam in beams if not beam.done])
    found: list[Hypothesis] = []
    for beam in beams:
        found += [beam] if beam.done else _continued(beam, next(rows), sampling, stop, width)
    return sorted(found, key=lambda each: -each.rank)[: sampling.num_beams]


def _rows(
    target: Target, prompt: Sequence[int], tails: Sequence[Sequence[int]]
) -> Iterator[Logits]:
    if isinstance(target, Branching) and tails[0]:
        return iter(target.branches(prompt, tails))
    return (target.logits([*prompt, *tail], 1)[0] for tail in tails)


def _continued(
    beam: Hypothesis, row: Logits, sampling: Sampling, stop: Collection[int], width: int
) -> Iterator[Hypothesis]:
    logs = log_softmax(row)
    penalty = _penalty(len(beam.tokens) + 1, sampling)
    for token in likeliest(row, width):
        score = beam.score + float(logs[token])
        yield Hypothesis((*beam.tokens, token), score, score / penalty, token in stop)


def _penalty(length: int, sampling: Sampling) -> float:
    """Wu et al. 2016, with their 5 as `beam_min_length`: it favours longer answers."""
    least = sampling.beam_min_length
    return math.pow((least + length) / (least + 1), sampling.beam_alpha)


def _over(beams: Sequence[Hypothesis], sampling: Sampling, room: int) -> bool:
    """Whether the best can change no more. Scores only fall and the penalty is largest at full
    length, so that no beam ever ranks above its score of now over that penalty."""
    longest = max(len(beam.tokens) for beam in beams)
    most = _penalty(room, sampling)
    ceilings = (beam.score / most for beam in beams if not beam.done)
    return longest == room or (
        beams[0].done and all(ceiling <= beams[0].rank for ceiling in ceilings)
    )


def _common(texts: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all share."""
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return sum(1 for _ in alike)


def log_softmax(row: Logits) -> NDArray[np.float64]:
    """In float64, and never above 0. Raises EngineError where `row` holds no usable number."""
    best = row[pick(row, LIKELIEST, ())]
    shifted = row.astype(np.float64) - best
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return logs


def likeliest(row: Logits, width: int) -> list[int]:
    """The `width` ids worth most, best first; of equals the lower, as argmax has it."""
    width = min(width, len(row))
    least = np.partition(row, -width)[-width]
    ids = np.flatnonzero(row >= least)
    best: list[int] = ids[np.argsort(-row[ids], kind="stable")][:width].tolist()
    return best
