"""A tiny deterministic target: logits are a hash of the context, no cache to go wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tokenhud.engines.drafters import Plain
from tokenhud.engines.loop import Block, Fixed, decode
from tokenhud.engines.options import Sampling


class TinyTarget:
    """Float64 logits [vocab] drawn from a generator keyed by the last `order` tokens."""

    def __init__(self, vocab: int = 11, order: int = 3, key: int = 0) -> None:
        self.vocab, self.order, self.key = vocab, order, key
        self.vocabulary = vocab
        self.passes = 0

    def row(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        seed = [self.key, *tokens[-self.order :]]
        return np.random.default_rng(seed).normal(scale=2.0, size=self.vocab)

    def logits(self, tokens: Sequence[int], last: int) -> NDArray[np.float64]:
        self.passes += 1
        ends = range(len(tokens) - last + 1, len(tokens) + 1)
        return np.array([self.row(tokens[:end]) for end in ends])

    def cached(self, tokens: Sequence[int]) -> int:  # noqa: ARG002
        return 0


class PeriodicTarget(TinyTarget):
    """Says `period` over and over, counted from the beginning of the text; its other wishes stay
    those of a TinyTarget."""

    def __init__(self, period: Sequence[int]) -> None:
        super().__init__(vocab=max(period) + 5)
        self.period = period

    def row(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        row = super().row(tokens)
        row[self.period[len(tokens) % len(self.period)]] = 100.0
        return row


class CountedList(Sequence[int]):
    """Tokens that count how many of them are read."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self.reads = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, place):
        found = self.tokens[place]
        self.reads += len(found) if isinstance(place, slice) else 1
        return found


class Oracle(Plain):
    """Proposes what the target will say, wrong at every place that `lies` names."""

    def __init__(self, answer: Sequence[int], prompt: int, lies: frozenset[int] = frozenset()):
        self.answer, self.prompt, self.lies = answer, prompt, lies

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        at = len(tokens) - self.prompt
        guesses = enumerate(self.answer[at : at + k], start=at)
        return [token + 1 if place in self.lies else token for place, token in guesses]


def run(
    target: TinyTarget,
    prompt: Sequence[int],
    sampling: Sampling,
    drafter: object = None,
    gamma: int = 4,
    stop: frozenset[int] = frozenset(),
    room: int = 20,
) -> list[Block]:
    chosen = drafter or Plain()
    return list(decode(target, chosen, prompt, sampling, Fixed(gamma), stop, room))  # type: ignore[arg-type]


def emitted(blocks: list[Block]) -> list[int]:
    return [token for block in blocks for token in block.tokens]
