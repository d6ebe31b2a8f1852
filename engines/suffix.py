"""Suffix drafting: what followed the longest ending of the text that stood in it before."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

from .choosing import Rows
from .drafters import Seen
from .lookup import unrolled
from .options import OptionError, Sampling

BREAK = -1  # in the text of an automaton: what comes next does not follow what came before
NONE = -2  # the token of a state without successors
LINKS = 8  # shorter endings whose latest place is noted at each token
OVERLAP = 64  # tokens of context given to a text that goes on from an earlier one
LIMIT = 1 << 17  # tokens held by default


class Automaton:
    """Suffix automaton (Blumer et al. 1985) of a text that grows at its end, in linear time.

    A state stands for the endings that occur at the same places. Nearly all states have one
    successor, so the first is kept in arrays and only the rest in a dict of a state's own.
    """

    def __init__(self, text: Iterable[int] = ()) -> None:
        self.text = array("i")
        self._length = array("i", [0])  # of the longest ending of a state
        self._link = array("i", [-1])  # to the state of the longest ending that is in another
        self._went = array("i", [0])  # place that followed its latest occurrence; 0 is none yet
        self._token = array("i", [NONE])
        self._next = array("i", [0])
        self._more: dict[int, dict[int, int]] = {}
        self._last = 0  # the state of the whole text since the last break
        for token in text:
            self.append(token)

    def append(self, token: int) -> None:
        place = len(self.text)
        self.text.append(token)
        if token == BREAK:
            self._last = 0
            return
        self._note(place)
        if known := self._successor(self._last, token):
            self._last = self._exact(self._last, token, known)
        else:
            self._last = self._grow(token)

    def ending(self) -> tuple[int, int]:
        """Length of the longest ending of the text that occurred before and went on, and the
        place where it did; a length of 0 is none."""
        state = self._last
        while state and not self._went[state]:
            state = self._link[state]
        return self._length[state], self._went[state]

    def memory(self) -> int:
        states = (self._length, self._link, self._went, self._token, self._next)
        arrays = sum(map(sys.getsizeof, (self.text, *states)))
        numbers = 32 * sum(1 + 2 * len(more) for more in self._more.values())
        dicts = sum(map(sys.getsizeof, self._more.values()))
        return arrays + sys.getsizeof(self._more) + dicts + numbers

    def _note(self, place: int) -> None:
        """The text before `place` goes on there. Short endings beyond LINKS keep an older place,
        which is still a true one: noting all would take quadratic time in a repetitive text."""
        state = self._last
        for _ in range(LINKS):
            if not state:
                return
            self._went[state] = place
            state = self._link[state]

    def _grow(self, token: int) -> int:
        grown = self._state(self._length[self._last] + 1, NONE, 0)
        state = self._last
        while state >= 0 and not self._successor(state, token):
            self._connect(state, token, grown)
            state = self._link[state]
        known = self._successor(state, token) if state >= 0 else 0
        self._link[grown] = self._exact(state, token, known) if known else 0
        return grown

    def _exact(self, state: int, token: int, known: int) -> int:
        """The state of `state`'s longest ending and `token`, split off `known` where that also
        stands for longer ones."""
        length = self._length[state] + 1
        if self._length[known] == length:
            return known
        split = self._state(length, self._token[known], self._next[known])
        self._link[split], self._went[split] = self._link[known], self._went[known]
        if known in self._more:
            self._more[split] = dict(self._more[known])
        self._link[known] = split
        while state >= 0 and self._successor(state, token) == known:
            self._connect(state, token, split)
            state = self._link[state]
        return split

    def _state(self, length: int, token: int, successor: int) -> int:
        self._length.append(length)
        self._link.append(0)
        self._went.append(0)
        self._token.append(token)
        self._next.append(successor)
        return len(self._length) - 1

    def _successor(self, state: int, token: int) -> int:
        if self._token[state] == token:
            return self._next[state]
        more = self._more.get(state)
        return more.get(token, 0) if more else 0

    def _connect(self, state: int, token: int, successor: int) -> None:
        if self._token[state] in (NONE, token):
            self._token[state], self._next[state] = token, successor
        else:
            self._more.setdefault(state, {})[token] = successor


class Suffix:
    """Proposes what followed the latest occurrence of the longest ending that is known, at most
    `factor` tokens for each token of that ending: a longer match is a safer one (SuffixDecoding,
    Oliaro et al. 2024).

    With `keep` texts of earlier turns stay known. Over `limit` tokens the older half is dropped.
    """

    def __init__(self, factor: float = 2.0, keep: bool = False, limit: int = LIMIT) -> None:
        if factor <= 0 or limit < 2 * OVERLAP:
            raise OptionError(f"Suffix drafting needs factor > 0 and limit ≥ {2 * OVERLAP}.")
        self._factor = factor
        self._keep = keep
        self._limit = limit
        self._seen = Seen()
        self._automaton = Automaton()

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:  # noqa: ARG002
        self._follow(prompt)

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        self._follow(tokens)
        length, place = self._automaton.ending()
        room = min(k, int(self._factor * length))
        if room <= 0:
            return []
        draft = unrolled(self._automaton.text, place, room)
        return draft[: draft.index(BREAK)] if BREAK in draft else draft

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:  # noqa: ARG002
        self._follow(tokens)

    def memory(self) -> int:
        return self._automaton.memory() + 8 * len(self._seen.tokens)

    def _follow(self, tokens: Sequence[int]) -> None:
        kept, dropped = self._seen.follow(tokens)
        if dropped:
            kept = self._depart(kept)
        for token in tokens[kept:]:
            self._append(token)

    def _depart(self, kept: int) -> int:
        """The text does not go on from its end; returns where to take it up."""
        if not self._keep:
            self._automaton = Automaton()
            return 0
        self._append(BREAK)
        return max(0, kept - OVERLAP)

    def _append(self, token: int) -> None:
        if len(self._automaton.text) >= self._limit:
            self._automaton = Automaton(self._automaton.text[-self._limit // 2 :])
        self._automaton.append(token)
