"""The one decoding loop: draft, check in one pass, keep what the target chose itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import eq
from typing import NamedTuple, Protocol

from .choosing import Rows, Target, choose
from .drafters import Drafter, Plain
from .options import Sampling
from .pick import margin


class Held(Target, Protocol):
    """A target that also says what it holds, and can let go of it."""

    @property
    def context(self) -> int: ...  # positions
    @property
    def vocabulary(self) -> int: ...
    @property
    def no_rollback(self) -> str: ...  # why drafts cannot be checked with it; "" where they can
    def memory(self) -> dict[str, int]: ...  # bytes by component
    def close(self) -> None: ...


class Block(NamedTuple):
    """What one pass of the target emitted, how much of it was drafted, and what that took."""

    tokens: tuple[int, ...]
    drafted: int
    accepted: int
    draft_ns: int = 0
    pass_ns: int = 0  # of the target, its picks included
    margins: tuple[float, ...] = ()
    rejected: tuple[int, ...] = ()  # the end of the draft, which was not kept


class Gamma(Protocol):
    """How many tokens to draft, step by step."""

    def begin(self) -> None:
        """An answer begins: its first pass reads the prompt too."""
        ...

    def next(self) -> int:
        """At most how many to draft now; 0 is a plain step."""
        ...

    def observe(self, block: Block) -> None: ...


class Fixed:
    """The same length always."""

    def __init__(self, gamma: int) -> None:
        self._gamma = gamma

    def begin(self) -> None:
        pass

    def next(self) -> int:
        return self._gamma

    def observe(self, block: Block) -> None:
        pass


def prefill(target: Target, prompt: Sequence[int], chunk: int) -> Iterator[int]:
    """Feeds the prompt `chunk` tokens at a time and yields how many are evaluated. The last chunk
    is left to the first pass of `decode`, which needs its logits anyway."""
    held = target.cached(prompt)
    for end in range(held + chunk, len(prompt), chunk):
        target.logits(prompt[:end], 0)
        yield end - held


def decode(
    target: Target,
    drafter: Drafter,
    prompt: Sequence[int],
    sampling: Sampling,
    gamma: Gamma,
    stop: Collection[int],
    room: int,
    clock: Callable[[], int] = time.perf_counter_ns,
    margins: bool = False,
) -> Iterator[Block]:
    """Emits at most `room` tokens after `prompt`, ending with the first stop id.

    A drafted token is kept while it equals the target's own pick; the first difference is itself
    the correction. So the text depends on target, prompt and sampling alone (exact for greedy and
    for sampling: every token is a fresh pick given its prefix), up to rounding between batch sizes.
    """
    gamma.begin()
    tokens = list(prompt)
    end = len(prompt) + room
    unseen = isinstance(drafter, Plain) and not margins  # nothing looks at logits
    while len(tokens) < end:
        began, held = clock(), len(tokens)
        space = min(gamma.next(), end - held - 1)
        draft = drafter.propose(tokens, space)[:space] if space else []
        drafted = clock()
        ahead = unseen and held + 1 < end
        picks, rows = choose(target, [*tokens, *draft], len(draft) + 1, sampling, ahead)
        _extend(tokens, picks, draft, stop)
        passed = clock()
        new = tuple(tokens[held:])
        drafter.observe(tokens, len(new), rows)
        accepted = sum(map(eq, new, draft))
        block = Block(
            new,
            len(draft),
            accepted,
            drafted - began + clock() - passed,
            passed - drafted,
            _margins(rows, tokens, held, sampling) if margins else (),
            tuple(draft[accepted:]) if accepted < len(new) else (),  # a stop rejects nothing
        )
        gamma.observe(block)
        yield block
        if new[-1] in stop:
            return


def _extend(
    tokens: list[int], picks: Iterable[int], draft: list[int], stop: Collection[int]
) -> None:
    """Appends the target's picks while they agree with `draft`, and the first that does not."""
    for picked, guess in zip(picks, [*draft, None], strict=True):
        tokens.append(picked)
        if picked != guess or picked in stop:
            return


def _margins(rows: Rows, tokens: list[int], held: int, sampling: Sampling) -> tuple[float, ...]:
    return tuple(
        margin(rows[place - held], sampling, tokens[:place]) for place in range(held, len(tokens))
    )
