"""Prompt lookup: what followed the last tokens when they stood in the text before (Saxena 2023)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .choosing import Rows
from .drafters import Seen
from .options import OptionError, Sampling

GRAM_BYTES = 110  # of a gram and its place beside the table that holds them, measured


class Lookup:
    """Proposes what followed the latest earlier occurrence of the longest known ending of the
    text, which is at most `longest` and at least `shortest` tokens. A guess that reaches the end
    of the text goes on with itself, so a loop is drafted whole."""

    def __init__(self, longest: int = 3, shortest: int = 1) -> None:
        if not 1 <= shortest <= longest:
            raise OptionError("Prompt lookup needs lengths with 1 ≤ shortest ≤ longest.")
        self._lengths = range(longest, shortest - 1, -1)
        self._seen = Seen()
        self._went: dict[tuple[int, ...], int] = {}  # gram to the place that followed it last

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:  # noqa: ARG002
        self._follow(prompt)

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        self._follow(tokens)
        for length in self._lengths:
            place = self._went.get(tuple(tokens[-length:]))
            if place is not None:
                return unrolled(tokens, place, k)
        return []

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:  # noqa: ARG002
        self._follow(tokens)

    def memory(self) -> int:
        return sys.getsizeof(self._went) + GRAM_BYTES * len(self._went) + 8 * len(self._seen.tokens)

    def _follow(self, tokens: Sequence[int]) -> None:
        kept, dropped = self._seen.follow(tokens)
        if dropped:
            self._went.clear()
            kept = 0
        for place in range(kept, len(tokens)):
            for length in self._lengths:
                if length <= place:
                    self._went[tuple(tokens[place - length : place])] = place


def unrolled(text: Sequence[int], place: int, k: int) -> list[int]:
    """`k` tokens of `text` from `place`, over and over where the text ends before."""
    copied = list(text[place : place + k])
    return [copied[i % len(copied)] for i in range(k)]
