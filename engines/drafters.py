"""Drafters guess what the target will say; the loop checks every guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Drafter(Protocol):
    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        """At most `k` guesses of what follows `tokens`; none is always allowed."""
        ...


class Plain:
    """Proposes nothing, which makes the loop plain autoregressive decoding."""

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:  # noqa: ARG002
        return []
