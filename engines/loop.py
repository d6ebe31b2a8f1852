"""The one decoding loop: draft, check in one pass, keep what the target chose itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from .drafters import Drafter
from .options import Sampling
from .pick import Logits, pick


class Target(Protocol):
    """Token ids to logits. The cache follows the list it is given: what it shares with the last
    one is kept, the rest is cropped and fed, so callers never manage it."""

    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        """Logits [last, vocab] after each of the `last` final tokens; 0 only fills the cache."""
        ...

    def cached(self, tokens: Sequence[int]) -> int:
        """How many leading `tokens` need no evaluation; less than all, since the last one must
        be fed to give logits."""
        ...


class Block(NamedTuple):
    """What one pass of the target emitted, and how much of it was drafted."""

    tokens: tuple[int, ...]
    drafted: int
    accepted: int


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
    gamma: int,
    stop: Collection[int],
    room: int,
) -> Iterator[Block]:
    """Emits at most `room` tokens after `prompt`, ending with the first stop id.

    A drafted token is kept while it equals the target's own pick; the first difference is itself
    the correction. So the text depends on target, prompt and sampling alone (exact for greedy and
    for sampling: every token is a fresh pick given its prefix), up to rounding between batch sizes.
    """
    tokens = list(prompt)
    end = len(prompt) + room
    while len(tokens) < end:
        space = min(gamma, end - len(tokens) - 1)
        draft = drafter.propose(tokens, space)[:space] if space else []
        rows = target.logits([*tokens, *draft], len(draft) + 1)
        new = _keep(rows, draft, sampling, len(tokens), stop)
        tokens += new
        drafter.observe(tokens, len(new), rows[: len(new)])
        yield Block(tuple(new), len(draft), sum(a == b for a, b in zip(new, draft, strict=False)))
        if new[-1] in stop:
            return


def _keep(
    rows: Logits, draft: Sequence[int], sampling: Sampling, position: int, stop: Collection[int]
) -> list[int]:
    new: list[int] = []
    for row, guess in zip(rows, [*draft, None], strict=True):
        new.append(pick(row, sampling, position + len(new)))
        if new[-1] != guess or new[-1] in stop:
            break
    return new
