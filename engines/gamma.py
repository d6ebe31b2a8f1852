"""How many tokens to draft: what drafts cost and how often they are right, measured as it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from .loop import Block

MOST = 16  # tokens of a draft

WRONG, RIGHT = -4, 6  # the longest streaks told apart: 8 drafts or more, 32 tokens or more
MEMORY = 24.0  # guesses by which older ones are forgotten
DOUBT = 6.0  # guesses that what is known of the next shorter streak counts for

PLAINS = 3  # plain passes before the first draft
RECENT = 5  # values of a median
FRESH = 8  # passes for which the cost of a plain one holds
SETTLED = 50.0  # passes by which older ones are forgotten
TRUST = 4.0  # passes that the line through all lengths counts for at each of them
PRIOR = ((0, 1.0, 8.0), (16, 1.8, 0.25))  # drafted, time, and how many passes that counts for

PROBES = 0.02  # share of the time that trying drafts may lose where plain decoding is faster ...
LOOKS = 0.005  # ... and plain passes where drafts are
CREDIT = 1.0  # plain passes that may be lost at once


def speedup(
    gamma: int,
    accept: float | Sequence[float],
    c: float,
    v: Callable[[int], float] | Sequence[float],
) -> float:
    """Predicted tokens/s over those of plain decoding (Leviathan et al. 2023, who take v as 1).

    `accept` is the chance that a drafted token is kept given that those before it were: one for
    all, or by position. `c` is the drafter's time for a token in plain passes, `v` the time of a
    pass by how much was drafted, in any unit."""
    chances = accept[:gamma] if isinstance(accept, Sequence) else [accept] * gamma
    cost = v if callable(v) else v.__getitem__
    return gain(sum(accumulate(chances, mul)), gamma, c, cost(gamma) / cost(0))


def gain(kept: float, gamma: float, c: float, v: float) -> float:
    """Tokens of a step that drafts `gamma` and keeps `kept`, over its time in plain passes."""
    return (1.0 + kept) / (gamma * c + v)


class Heuristic:
    """From `start` up by 2 after a draft of which more than 0.7 was kept and down by 1 after any
    other, within 1 to MOST."""

    def __init__(self, start: int = 4) -> None:
        self._gamma = min(start, MOST)

    def begin(self) -> None:
        pass

    def next(self) -> int:
        return self._gamma

    def observe(self, block: Block) -> None:
        if block.drafted:
            step = 2 if block.accepted > 0.7 * block.drafted else -1
            self._gamma = max(1, min(self._gamma + step, MOST))


class Best(NamedTuple):
    """The length that promises most, its time in plain passes and its gain over plain decoding."""

    gamma: int
    time: float
    gain: float


class Auto:
    """The length with the most tokens/s by what was measured; 0 where plain decoding is faster.

    What is not chosen, drafting or not, is tried as soon as its expected loss is below a share of
    the time since. A drafter that stays silent costs nothing, so a trial waits for its draft."""

    def __init__(self, most: int = MOST) -> None:
        self._streaks = Streaks()
        self._costs = Costs(most)
        self._reads = True  # the next pass reads a prompt
        self._best = Best(0, 1.0, 1.0)
        self._trying = False  # not the best
        self._credit = CREDIT  # plain passes that trying may lose

    def begin(self) -> None:
        """An answer begins: the cost of its first pass tells nothing."""
        self._reads = True

    def next(self) -> int:
        if not self._costs.known:
            return 0
        self._best = best = self._choose()
        if best.gain < 1.0:
            self._trying = self._trying or self._credit >= best.time * (1.0 - best.gain)
            return best.gamma if self._trying else 0
        self._trying = self._costs.age >= FRESH and self._credit >= 1.0 - 1.0 / best.gain
        return 0 if self._trying else best.gamma

    def observe(self, block: Block) -> None:
        self._streaks.observe(block)
        if not self._reads:
            self._costs.observe(block)
            self._account(block)
        self._reads = False

    def _choose(self) -> Best:
        c, v = self._costs.c, self._costs.v
        kept = accumulate(accumulate(self._streaks.chances(len(v) - 1), mul))
        gains = [gain(tokens, k, c, v[k]) for k, tokens in enumerate(kept, 1)]
        k = max(range(len(gains)), key=gains.__getitem__)
        return Best(k + 1, (k + 1) * c + v[k + 1], gains[k])

    def _account(self, block: Block) -> None:
        time = self._costs.time(block)
        if self._trying:
            self._credit -= max(0.0, time - len(block.tokens) / max(1.0, self._best.gain))
        self._credit = min(self._credit + time * (LOOKS if block.drafted else PROBES), CREDIT)
        self._trying = self._trying and self._best.gain < 1.0 and not block.drafted


class Streaks:
    """The chance that the next guess is right, by the streak before it: how many guesses in a row
    were right (+1, 2-3, 4-7, ...), or how many drafts wrong at once (-1, 2-3, ...).

    That holds what the place in a draft tells, and goes on over the end of a draft: in copied text
    a long streak promises more of the same, and where prose begins a few misses say so."""

    def __init__(self) -> None:
        self._chance = dict.fromkeys(range(WRONG, RIGHT + 1), 0.5)  # 0 is all guesses
        self._weight = dict.fromkeys(self._chance, 0.0)
        self._streak = 0

    def observe(self, block: Block) -> None:
        for _ in range(block.accepted):
            self._learn(1.0)
            self._streak = max(self._streak, 0) + 1
        # a draft that ends with a stop token is cut, not corrected
        if block.accepted < block.drafted and block.accepted < len(block.tokens):
            self._learn(0.0)
            self._streak = min(self._streak, 0) - 1

    def chances(self, most: int) -> list[float]:
        """Of each token of the next draft, given that those before it are right."""
        known = self._known()
        run = max(self._streak, 0)
        later = (known[_kind(run + place)] for place in range(1, most))
        return [known[_kind(self._streak)], *later]

    def _learn(self, right: float) -> None:
        for kind in {0, _kind(self._streak)}:
            self._weight[kind] = min(self._weight[kind] + 1.0, MEMORY)
            self._chance[kind] += (right - self._chance[kind]) / self._weight[kind]

    def _known(self) -> dict[int, float]:
        """A streak not met often leans on the next shorter one."""
        known = {0: self._leaning(0, 0.5)}
        for kind in range(1, RIGHT + 1):
            known[kind] = self._leaning(kind, known[kind - 1])
        for kind in range(-1, WRONG - 1, -1):
            known[kind] = self._leaning(kind, known[kind + 1])
        return known

    def _leaning(self, kind: int, near: float) -> float:
        weight = self._weight[kind]
        return (self._chance[kind] * weight + near * DOUBT) / (weight + DOUBT)


class Costs:
    """`v` is the time of a pass by drafted tokens and `c` the drafter's for one, in plain passes.

    Both are learned from steps soon after a plain one, so that a machine that slows down changes
    neither; and none counts for more than double, since some take ten times as long."""

    def __init__(self, most: int) -> None:
        self.age = 0  # passes since a plain one
        self._mean = [1.0] * (most + 1)
        self._weight = [0.0] * (most + 1)
        self._plain: deque[float] = deque(maxlen=RECENT)
        self._c: deque[float] = deque(maxlen=RECENT)
        self.v = self._estimate()

    @property
    def known(self) -> bool:
        return len(self._plain) >= PLAINS

    @property
    def c(self) -> float:
        return _median(self._c)

    def observe(self, block: Block) -> None:
        if not block.drafted:
            self._plain.append(max(block.pass_ns, 1))
            self.age = 0
            return
        self.age += 1
        if self.known and self.age <= FRESH:
            plain = _median(self._plain)
            self._learn(block.drafted, block.pass_ns / plain)
            self._c.append(block.draft_ns / block.drafted / plain)

    def time(self, block: Block) -> float:
        """Of a step, in plain passes, its own pass taken as usual."""
        plain = _median(self._plain)
        return self.v[self._within(block.drafted)] + (block.draft_ns / plain if plain else 0.0)

    def _learn(self, drafted: int, time: float) -> None:
        k = self._within(drafted)
        self._weight[k] = min(self._weight[k] + 1.0, SETTLED)
        self._mean[k] += (min(time, 2.0 * self.v[k]) - self._mean[k]) / self._weight[k]
        self.v = self._estimate()

    def _estimate(self) -> list[float]:
        """A length that was not met often leans on the line through all."""
        start, slope = self._line()
        line = (start + slope * k for k in range(1, len(self._mean)))
        known = zip(line, self._mean[1:], self._weight[1:], strict=True)
        return [1.0, *((near * TRUST + mean * n) / (TRUST + n) for near, mean, n in known)]

    def _line(self) -> tuple[float, float]:
        """By least squares; before anything is measured, through PRIOR."""
        points = [*PRIOR, *zip(range(len(self._mean)), self._mean, self._weight, strict=True)]
        n = sum(w for _, _, w in points)
        x = sum(w * k for k, _, w in points) / n
        y = sum(w * v for _, v, w in points) / n
        spread = sum(w * (k - x) ** 2 for k, _, w in points)
        slope = sum(w * (k - x) * (v - y) for k, v, w in points) / spread
        return y - slope * x, slope

    def _within(self, drafted: int) -> int:
        return min(drafted, len(self.v) - 1)


def _kind(streak: int) -> int:
    size = streak.bit_length()
    return min(size, RIGHT) if streak > 0 else max(-size, WRONG)


def _median(values: Collection[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
