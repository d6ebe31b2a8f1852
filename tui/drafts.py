"""What the HUD says of drafting: how much is kept, what it costs, what it gains."""

from __future__ import annotations

from typing import NamedTuple

from ..sessions import figures
from ..sessions.costs import Costs, Verification, loses
from ..sessions.turns import TurnMetrics
from .readings import Readings

PLACES = 16  # of a draft that are shown


class Row(NamedTuple):
    """`label` stands left and `value` right; a row without a label is one text."""

    label: str
    value: str
    style: str = ""  # "title", "main", "dim", "warn"


def drafts(turn: TurnMetrics, readings: Readings, width: int) -> list[Row]:
    """Of the turn that runs or ran last, and of the session where the label says so."""
    costs = readings.costs()
    slower = loses(costs, readings.measured)
    if not turn.drafted:
        off = costs.drafts and slower
        told = [Row("", "γ auto drafts nothing: slower here", "warn")] if off else []
        return [Row("DRAFTS", "none", "title"), *told]
    return [
        Row(
            "DRAFTS",
            f"{figures.of(figures.count(turn.accepted), figures.count(turn.drafted))}",
            "title",
        ),
        Row("accepted", figures.percent(turn.acceptance), "main"),
        Row("", figures.gauge(turn.acceptance, width), "dim"),
        Row("last 64 · session", _rolling(costs, readings)),
        Row("by place", _places(turn), "dim"),
        Row("tokens a pass", figures.factor(turn.mean_accepted_length)),
        Row("draft costs", _times(costs.c, "a token")),
        Row("check costs", _check(costs)),
        Row("speed-up", _speedup(readings, costs), "warn" if slower else ""),
        *([Row("", "slower than plain here", "warn")] if slower else []),
    ]


def speedup(readings: Readings) -> str:
    """In a word, for the bar."""
    costs = readings.costs()
    slower = " slower than plain" if loses(costs, readings.measured) else ""
    return _speedup(readings, costs) + slower


def _speedup(readings: Readings, costs: Costs) -> str:
    """Measured against plain answers of this chat; ≈ is predicted from this drafter's passes."""
    if readings.measured.speedup is not None:
        return f"{figures.factor(readings.measured.speedup)}×"
    return figures.ABSENT if costs.predicted is None else f"≈{figures.factor(costs.predicted)}×"


def _rolling(costs: Costs, readings: Readings) -> str:
    rolling, session = costs.rolling, readings.session_acceptance
    return f"{figures.percent(rolling)} · {figures.percent(session)}"


def _places(turn: TurnMetrics) -> str:
    shares = [each.acceptance or 0.0 for each in turn.positions[:PLACES]]
    return figures.bars(shares)


def _check(costs: Costs) -> str:
    """Of the draft length that was checked most."""
    drafted = [each for each in costs.v if each.drafted]
    if not drafted:
        return figures.ABSENT
    usual: Verification = max(drafted, key=lambda each: each.n)
    return f"{figures.factor(usual.cost)}× for {usual.drafted}"


def _times(cost: float | None, what: str) -> str:
    return figures.ABSENT if cost is None else f"{cost:.3f}× {what}"
