"""The turns of a chat by what decoded them: the totals that a comparison rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..engines.events import Start
from ..engines.options import Spec
from .costs import Key, Measured, measured_speedup, method, place
from .summary import SessionMetrics, session_metrics
from .turns import TurnMetrics


class MethodTotals(NamedTuple):
    """All turns by one method on the same weights in the same place."""

    key: Key
    spec: Spec
    beams: int
    metrics: SessionMetrics
    measured: Measured  # over plain decoding


def by_method(turns: Iterable[TurnMetrics]) -> list[MethodTotals]:
    """In the order in which they first answered."""
    turns = list(turns)
    groups: dict[Key, list[TurnMetrics]] = {}
    for turn in turns:
        if turn.start:
            groups.setdefault(decoded_by(turn.start), []).append(turn)
    return [_totals(key, mine, turns) for key, mine in groups.items()]


def decoded_by(start: Start) -> Key:
    return place(start.spec), method(start.spec), start.sampling.num_beams


def times_plain(turn: TurnMetrics, totals: Sequence[MethodTotals]) -> float | None:
    """One whole warm turn's tokens/s over those of all plain ones on the same weights."""
    if not turn.start or not turn.finished or turn.cold or turn.decode_rate is None:
        return None
    plain = (place(turn.start.spec), ("plain",), 1)
    rates = (each.metrics.decode_rate for each in totals if each.key == plain)
    base = next(rates, None)
    return turn.decode_rate / base if base else None


def _totals(key: Key, mine: Sequence[TurnMetrics], turns: Sequence[TurnMetrics]) -> MethodTotals:
    start = mine[-1].start
    assert start
    beams = start.sampling.num_beams
    measured = measured_speedup(turns, start.spec) if beams == 1 else Measured(why="beam search")
    return MethodTotals(key, start.spec, beams, session_metrics(mine), measured)
