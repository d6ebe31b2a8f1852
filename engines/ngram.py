"""N-gram assisted drafting: a table of what followed each context (after ANPD, Ou et al. 2024)."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from .choosing import Rows
from .drafters import Seen
from .options import OptionError, Sampling
from .pick import Logits

Storage = Literal["basic", "onelevel"]

ENTRIES = 200_000  # (context, token) counts kept by default
CONTEXT_BYTES = 160  # of a context and its best token beside what sys.getsizeof sees, measured
COUNT_BYTES = 80  # of each further token of a context


class Followers:
    """How often each token followed one context. Only a strictly larger count makes another
    token the best, so ties keep the earlier one."""

    __slots__ = ("best", "count", "others")

    def __init__(self, token: int) -> None:
        self.best = token
        self.count = 1
        self.others: dict[int, int] = {}  # without `best`: most contexts know one token

    def __len__(self) -> int:
        return 1 + len(self.others)

    def add(self, token: int) -> None:
        if token == self.best:
            self.count += 1
            return
        count = self.others.get(token, 0) + 1
        if count <= self.count:
            self.others[token] = count
            return
        self.others.pop(token, None)
        self.others[self.best] = self.count
        self.best, self.count = token, count


class Table:
    """Followers of contexts of several lengths, longest first. Over `limit` counts, the contexts
    that were counted least recently are dropped."""

    def __init__(self, lengths: Sequence[int], limit: int) -> None:
        self._lengths = lengths
        self._limit = limit
        self._contexts: OrderedDict[tuple[int, ...], Followers] = OrderedDict()
        self._entries = 0

    def __len__(self) -> int:
        return self._entries

    def clear(self) -> None:
        self._contexts.clear()
        self._entries = 0

    def count(self, before: Sequence[int], tokens: Sequence[int]) -> None:
        """Counts each of `tokens` once as what follows `before`."""
        for length in self._lengths:
            if length <= len(before):
                self._add(tuple(before[-length:]), tokens)
        while self._entries > self._limit:
            _, oldest = self._contexts.popitem(last=False)
            self._entries -= len(oldest)

    def best(self, before: Sequence[int]) -> int | None:
        """The likeliest next token after the longest known context; None where none is known."""
        for length in self._lengths:
            followers = self._contexts.get(tuple(before[-length:]))
            if followers:
                return followers.best
        return None

    def memory(self) -> int:
        contexts = len(self._contexts)
        widest = 8 * max(self._lengths)
        return (
            sys.getsizeof(self._contexts)
            + (CONTEXT_BYTES + widest) * contexts
            + COUNT_BYTES * (self._entries - contexts)
        )

    def _add(self, context: tuple[int, ...], tokens: Sequence[int]) -> None:
        followers = self._contexts.get(context)
        if followers is None:
            self._contexts[context] = followers = Followers(tokens[0])
            self._entries += 1
            tokens = tokens[1:]
        else:
            self._contexts.move_to_end(context)
        known = len(followers)
        for token in tokens:
            followers.add(token)
        self._entries += len(followers) - known


class Ngram:
    """Proposes the likeliest token after the last ones, and so on, up to an unknown context.

    Storage "basic" knows contexts of 1 to n - 1 tokens and trusts the longest, "onelevel" those
    of n - 1 alone. A `filler_top_k` over 1 also counts that many of the target's own favourites
    at each place of an answer. The table is made anew for every answer, unless
    `reset_in_between` is off: then it stays, and what an answer's prompt shares with the text
    before is not counted again.
    """

    def __init__(
        self,
        n: int = 3,
        storage: Storage = "basic",
        filler_top_k: int = 3,
        reset_in_between: bool = True,
        limit: int = ENTRIES,
    ) -> None:
        if n < 2 or filler_top_k < 1 or limit < 1:
            raise OptionError("An n-gram table needs n ≥ 2, filler_top_k ≥ 1 and limit ≥ 1.")
        self._width = n - 1
        lengths = range(n - 1, 0, -1) if storage == "basic" else (n - 1,)
        self._table = Table(lengths, limit)
        self._seen = Seen()
        self._filler_top_k = filler_top_k
        self._reset = reset_in_between

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:  # noqa: ARG002
        if self._reset:
            self._clear()
        self._learn(prompt, 0, ())

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        self._learn(tokens, 0, ())
        context, draft = list(tokens[-self._width :]), list[int]()
        while len(draft) < k and (token := self._table.best(context)) is not None:
            draft.append(token)
            context = [*context, token][-self._width :]
        return draft

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:
        self._learn(tokens, fresh, rows)

    def memory(self) -> int:
        return self._table.memory() + 8 * len(self._seen.tokens)

    def _learn(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:
        """Counts what is new in `tokens`, of which `rows` chose the last `fresh`."""
        kept, dropped = self._seen.follow(tokens)
        if dropped and self._reset:
            self._table.clear()
            kept = 0
        chosen = len(tokens) - fresh
        for place in range(kept, len(tokens)):
            followers = [tokens[place]]
            if place >= chosen and self._filler_top_k > 1:
                favourites = top(rows[place - chosen], self._filler_top_k)
                followers += [token for token in favourites if token != tokens[place]]
            self._table.count(tokens[max(0, place - self._width) : place], followers)

    def _clear(self) -> None:
        self._table.clear()
        self._seen = Seen()


def top(row: Logits, k: int) -> list[int]:
    """The `k` likeliest ids, best first, ties by id; impossible ones are left out.
    For the few that are wanted, looking k times is quicker than sorting a vocabulary."""
    left = row.copy()
    best: list[int] = []
    while len(best) < min(k, len(left)):
        token = int(np.argmax(left))
        if left[token] == -np.inf:
            break
        best.append(token)
        left[token] = -np.inf
    return best
