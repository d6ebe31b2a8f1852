"""Several drafters as one."""

from __future__ import annotations

from collections.abc import Sequence

from .choosing import Rows
from .drafters import Drafter
from .options import Sampling


class Chain:
    """The first of `drafters` that proposes anything wins; all of them learn."""

    def __init__(self, *drafters: Drafter) -> None:
        self._drafters = drafters

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:
        for drafter in self._drafters:
            drafter.begin(prompt, sampling)

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        drafts = (drafter.propose(tokens, k) for drafter in self._drafters)
        return next(filter(None, drafts), [])

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:
        for drafter in self._drafters:
            drafter.observe(tokens, fresh, rows)

    def memory(self) -> int:
        return sum(drafter.memory() for drafter in self._drafters)
