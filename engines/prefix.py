"""What all that follows the token list asks of a list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count
from operator import ne

from .events import EngineError


def shared(held: Sequence[int], tokens: Sequence[int]) -> int:
    """Length of the prefix that `tokens` has in common with what is held."""
    length = min(len(held), len(tokens))
    if held[:length] == tokens[:length]:  # nearly always, and many times quicker than a search
        return length
    ends = compress(count(), map(ne, held, tokens))
    return next(ends, length)


def require_room(tokens: Sequence[int], last: int, context: int) -> None:
    if not 0 <= last <= len(tokens):
        raise ValueError(f"{last} rows of {len(tokens)} tokens")
    if len(tokens) > context:
        raise EngineError(
            f"{len(tokens)} tokens do not fit into the context of {context}.",
            "Shorten the conversation or raise the context with /context.",
        )
