"""Where the target's choices are made: on the host, or where its logits are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from .options import Sampling
from .pick import Logits, pick


class Rows(Protocol):
    """Logits [rows, vocab] that may be brought to the host only when one is looked at."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Logits: ...


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


Choose = Callable[[Sequence[int], int, Sampling, bool], tuple[Iterable[int], Rows]]


def choose(
    target: Target, tokens: Sequence[int], last: int, sampling: Sampling, ahead: bool = False
) -> tuple[Iterable[int], Rows]:
    """What the target picks after each of the `last` final tokens, and the logits behind it, which
    hold until its next pass. A target with a `choose` of its own may pick on its device and bring
    nothing but ids to the host; on the host a pick is made when it is asked for. `ahead` says that
    the text will go on with the pick and nobody looks at the logits, so that such a target may
    begin its next pass at once.
    """
    own: Choose | None = getattr(target, "choose", None)
    if own:
        return own(tokens, last, sampling, ahead)
    return choose_on_host(target, tokens, last, sampling)


def choose_on_host(
    target: Target, tokens: Sequence[int], last: int, sampling: Sampling
) -> tuple[Iterable[int], Rows]:
    rows = target.logits(tokens, last)
    return picks(rows, tokens, sampling), rows


def picks(rows: Logits, tokens: Sequence[int], sampling: Sampling) -> Iterable[int]:
    """A pick for each of `rows`, which follow the last of `tokens` one by one."""
    first = len(tokens) - len(rows) + 1
    return (pick(row, sampling, tokens[: first + at]) for at, row in enumerate(rows))
