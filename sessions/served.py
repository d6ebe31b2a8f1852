"""The figures of a turn that a server answered: times as they came in, counts as it tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..engines.events import Served
from .turns import Position, TurnMetrics


def served_metrics(along: TurnMetrics, served: Served | None, pieces: Sequence[int]) -> TurnMetrics:
    """`along` holds what was counted while it streamed, which may be nothing; `pieces` are the
    times of the first and the last piece. Where nothing was counted the first piece is taken for
    one token."""
    told = served or Served(0)
    tokens = along.tokens if told.completion_tokens is None else told.completion_tokens
    drafted = told.drafted or 0
    steps = _steps(told)
    return replace(
        along,
        served=served,
        first_ns=pieces[0],
        last_ns=pieces[-1],
        tokens=tokens,
        first_tokens=along.first_tokens or min(tokens, 1),
        passes=told.spec_steps or 0,
        drafted=drafted,
        accepted=(told.accepted or 0) if drafted else 0,
        rejections=sum(steps[:-1]) if steps else None,
        positions=tuple(Position(sum(steps), sum(steps[place:])) for place in range(1, len(steps))),
    )


def _steps(told: Served) -> Sequence[int]:
    """Steps by how many drafts they accepted, where all drafted the same number: else nobody can
    say how often a place was drafted."""
    steps = told.acceptance_histogram or ()
    return steps if told.drafted and (len(steps) - 1) * sum(steps) == told.drafted else ()
