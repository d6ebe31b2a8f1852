"""How many tokens to draft: what drafts cost and how often they are right, measured as it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul

from .loop import Block

MOST = 16  # tokens of a draft
STEEPNESS = 0.06  # of the cost of a pass by drafted token, before any is measured
MEMORY = 24  # guesses by which what is known of acceptance is forgotten
DOUBT = 2.0  # guesses that a neighbour's acceptance counts for
RECENT = 15  # passes whose median is the cost of a plain one
SETTLED = 50  # passes by which a cost is forgotten
TRUSTED = 8.0  # passes by which a cost is known
LEAP = 0.5  # share of a cost by which one pass can surprise
NEARNESS = (1.0, 0.3, 0.1, 0.03)  # what a pass tells of the cost of longer and shorter drafts
PROBES = 0.02  # share of the time that probing may lose


def speedup(
    gamma: int,
    accept: float | Sequence[float],
    c: float,
    v: Callable[[int], float] | Sequence[float],
) -> float:
    """Predicted tokens/s against plain decoding (after Leviathan et al. 2023, who take v as 1).

    `accept` is the chance of a drafted token given that those before it were right, one for all or
    by position; `c` the drafter's cost of a token in plain passes; `v` the cost of a pass by the
    tokens it checks, in any unit."""
    chances = [accept] * gamma if isinstance(accept, float | int) else accept[:gamma]
    cost = v if callable(v) else v.__getitem__
    return gain(sum(accumulate(chances, mul)), gamma, c, cost(gamma) / cost(0))


def gain(kept: float, gamma: int, c: float, v: float) -> float:
    """Tokens of a pass that keeps `kept` of `gamma` drafted, over its time in plain passes."""
    return (1.0 + kept) / (gamma * c + v)


class Heuristic:
    """From `start` up by 2 after a draft of which more than 0.7 was kept, else down by 1; 1 to 16."""

    def __init__(self, start: int = 4) -> None:
        self._gamma = min(start, MOST)

    def next(self) -> int:
        return self._gamma

    def observe(self, block: Block) -> None:
        if block.drafted:
            right = block.accepted > 0.7 * block.drafted
            self._gamma = max(1, min(self._gamma + (2 if right else -1), MOST))


class Streaks:
    """The chance that the next guess is right, by the streak before it: so many guesses right in a
    row, or so many drafts wrong at once. It holds for text of one kind by position in the draft,
    and where the kind changes the streak tells so within a few guesses."""

    WRONG, RIGHT = 4, 6  # classes: 1, 2-3, 4-7, ... in a row

    def __init__(self) -> None:
        classes = self.WRONG + 1 + self.RIGHT
        self._chance = [0.5] * classes
        self._weight = [0.0] * classes
        self._streak = 0

    def observe(self, block: Block) -> None:
        for _ in range(block.accepted):
            self._learn(1.0)
            self._streak = max(self._streak, 0) + 1
        if len(block.tokens) > block.accepted < block.drafted:
            self._learn(0.0)
            self._streak = min(self._streak, 0) - 1 if not block.accepted else -1

    def chances(self, most: int) -> list[float]:
        """By position in the next draft."""
        known = self._smooth()
        first = known[self._place(self._streak)]
        run = max(self._streak, 0)
        return [first, *(known[self._place(run + i)] for i in range(1, most))]

    def _place(self, streak: int) -> int:
        size = streak.bit_length()
        return self.WRONG + (min(size, self.RIGHT) if streak > 0 else -min(size, self.WRONG))

    def _learn(self, right: float) -> None:
        for place in {self._place(self._streak), self.WRONG}:
            weight = self._weight[place] = min(self._weight[place] + 1.0, MEMORY)
            self._chance[place] += (right - self._chance[place]) / weight

    def _smooth(self) -> list[float]:
        known = list(self._chance)
        for step in (-1, 1):
            place = self.WRONG
            end = -1 if step < 0 else len(known)
            known[place] = (self._chance[place] * self._weight[place] + 0.5) / (self._weight[place] + 1.0)
            for at in range(place + step, end, step):
                w = self._weight[at]
                near = self.lean(known[at - step], step)
                known[at] = (self._chance[at] * w + near * DOUBT) / (w + DOUBT)
        return known

    def lean(self, near: float, step: int) -> float:
        return near


class PassCosts:
    """The cost of a pass by drafted tokens, and of a drafted token, in plain passes. A pass that
    took ten times as long as any other hardly counts."""

    def __init__(self, most: int) -> None:
        self.v = [1.0 + STEEPNESS * k for k in range(most + 1)]
        self._weight = [1.0] * (most + 1)
        self._plain: deque[float] = deque(maxlen=RECENT)
        self._token: deque[float] = deque(maxlen=RECENT)

    @property
    def plain(self) -> float:
        return _median(self._plain)

    @property
    def unknown(self) -> bool:
        return len(self._plain) < 3

    @property
    def c(self) -> float:
        return _median(self._token) / self.plain if self._token and self._plain else 0.0

    def observe(self, block: Block) -> None:
        k = min(block.drafted, len(self.v) - 1)
        if self._plain and k:
            self._learn(k, block.pass_ns / self.plain)
            self._token.append(block.draft_ns / block.drafted)
        if not k or self._weight[k] >= TRUSTED:
            self._plain.append(block.pass_ns / self.v[k])

    def _learn(self, k: int, cost: float) -> None:
        leap = LEAP * self.v[k]
        surprise = max(-leap, min(cost - self.v[k], leap))
        for at in range(1, len(self.v)):
            near = NEARNESS[min(abs(at - k), len(NEARNESS) - 1)]
            self._weight[at] = min(self._weight[at] + near, SETTLED)
            self.v[at] += surprise * near / self._weight[at]


class Auto:
    """The length with the most tokens/s by what was measured; 0 where plain decoding is faster.
    Then a draft is tried now and then, as soon as what it may lose is below a share of the time.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._streaks = Streaks()
        self._costs = PassCosts(most)
        self._credit = 0.0  # plain passes that probing may lose
        self._probing = False
        self._fresh = True  # nothing was observed yet

    def next(self) -> int:
        if self._costs.unknown:
            return 0
        best, rate, loss = self._best()
        if rate >= 1.0:
            self._probing = False
            return best
        self._probing = self._probing or self._credit >= loss
        return best if self._probing else 0

    def observe(self, block: Block) -> None:
        self._streaks.observe(block)
        if self._fresh:  # its pass has read the prompt
            self._fresh = False
            return
        self._costs.observe(block)
        spent = self._costs.v[min(block.drafted, self._most)] + block.draft_ns / self._costs.plain
        self._credit += PROBES * spent
        if self._probing:
            self._credit -= max(0.0, spent - len(block.tokens))
            self._probing = not block.drafted

    def _best(self) -> tuple[int, float, float]:
        c, v = self._costs.c, self._costs.v
        kept, best = 0.0, (1, 0.0, 0.0)
        for k, right in enumerate(accumulate(self._streaks.chances(self._most), mul), 1):
            kept += right
            rate = gain(kept, k, c, v[k])
            if rate > best[1]:
                best = (k, rate, k * c + v[k] - 1.0 - kept)
        return best


def _median(values: deque[float]) -> float:
    return sorted(values)[len(values) // 2]
