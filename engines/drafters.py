"""Drafters guess what the target will say; the loop checks every guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .choosing import Rows
from .options import Sampling
from .prefix import shared

TAIL = 8  # known tokens compared where a list is met again


class Drafter(Protocol):
    """What is learned follows the tokens given, as the target's cache does, so an edit or another
    conversation needs no call of its own. Within an answer the list only grows."""

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:
        """An answer to `prompt` begins, picked by `sampling`."""
        ...

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        """At most `k` guesses of what follows `tokens`; none is always allowed."""
        ...

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:
        """The target chose the last `fresh` tokens from the first of `rows`, which are its own and
        hold only during the call."""
        ...

    def memory(self) -> int:
        """Bytes held, estimated."""
        ...


class Plain:
    """Proposes nothing, which makes the loop plain autoregressive decoding."""

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:
        pass

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:  # noqa: ARG002
        return []

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:
        pass

    def memory(self) -> int:
        return 0


class Seen:
    """The tokens a drafter has learned from, compared in constant time while a list grows."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._source: Sequence[int] | None = None

    def follow(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Becomes `tokens`. Returns how many leading ones were known, and how many known ones
        after those do not hold any more."""
        kept = self._shared(tokens)
        dropped = len(self.tokens) - kept
        del self.tokens[kept:]
        self.tokens += tokens[kept:]
        self._source = tokens
        return kept, dropped

    def _shared(self, tokens: Sequence[int]) -> int:
        """Length of the common prefix, exact but for one case: the list met last is taken as
        grown at its end, unless its length or the last TAIL known tokens say otherwise."""
        known = len(self.tokens)
        start = max(0, known - TAIL)
        if tokens is self._source and list(tokens[start:known]) == self.tokens[start:]:
            return known
        return shared(self.tokens, tokens)
