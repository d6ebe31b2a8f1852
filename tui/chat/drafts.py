"""What the HUD says of drafting: how much is kept, what it costs, what it gains."""

from __future__ import annotations

from ...sessions import figures
from ...sessions.costs import Costs, Verification, loses
from ...sessions.turns import TurnMetrics
from .levels import marked
from .readings import Answer, Readings
from .rows import Row

PLACES = 16  # of a draft that are shown


def drafts(turn: TurnMetrics, answer: Answer, readings: Readings, width: int) -> list[Row]:
    """Of the answer that runs or ran last, and of the session where the label says so."""
    costs = readings.costs()
    slower = loses(costs, readings.measured)
    if not turn.drafted:
        off = costs.drafts and slower and not answer.trial
        told = "γ auto drafts nothing: slower here"
        warned = [Row("", marked(told, "warn"), "warn", "speed-up")] if off else []
        return [Row("DRAFTS", "none", "title"), *warned]
    kept = figures.of(figures.count(turn.accepted), figures.count(turn.drafted))
    latest = figures.bars(list(answer.kept)[-width:])
    rows = [
        Row("DRAFTS", kept, "title"),
        Row("accepted", figures.percent(turn.acceptance), "main"),
        Row("", figures.gauge(turn.acceptance, width), "dim", "accepted", spare=True),
        *([Row("", latest, "main", "draft by draft")] if latest else []),
        Row("by place", _places(turn), "dim"),
        Row("tokens a pass", figures.factor(turn.mean_accepted_length)),
    ]
    return rows if answer.trial else rows + _gains(readings, costs, slower)


def speedup(readings: Readings) -> tuple[str, str]:
    """In a word for the bar, and its style."""
    costs = readings.costs()
    if loses(costs, readings.measured):
        return f"{_speedup(readings, costs)} slower than plain", "warn"
    return f"{_speedup(readings, costs)} plain", ""


def _gains(readings: Readings, costs: Costs, slower: bool) -> list[Row]:
    """Of the session, by the drafter in use."""
    told = marked("slower than plain here", "warn")
    return [
        Row("last 64 · session", _rolling(costs, readings), spare=True),
        Row("draft costs", _times(costs.c, "a token"), spare=True),
        Row("check costs", _check(costs), spare=True),
        Row("speed-up", _speedup(readings, costs), "warn" if slower else ""),
        *([Row("", told, "warn", "speed-up")] if slower else []),
    ]


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
