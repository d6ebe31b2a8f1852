"""What the HUD says of this chat's turns side by side: the methods, and the latest answers."""

from __future__ import annotations

from ...sessions import figures
from ...sessions.costs import place
from ...sessions.methods import MethodTotals
from ...sessions.turns import TurnMetrics
from ..chat.readings import Readings
from ..chat.rows import Row

METHODS = 6  # that are shown
WIDE = 40  # columns, from which on rows say more
LEAST, MOST = 2, 12  # turns of the table


def methods(readings: Readings, width: int) -> list[Row]:
    """Where more than one has answered on the weights in use; the one in use is the first."""
    mine = readings.mine
    here = [each for each in readings.methods if mine and place(each.spec) == place(mine.spec)]
    if len(here) < 2:
        return []
    here.sort(key=lambda each: each is not mine)
    head = "tok/s · × plain" + (" · accepted" if width >= WIDE else "")
    rows = [_method(each, each is mine, width) for each in here[:METHODS]]
    return [Row("BY METHOD", head, "title", spare=True), *rows]


def last_turns(readings: Readings, width: int, height: int) -> list[Row]:
    """The latest first; nothing where `height` has no room for a few."""
    count = min(height - 1, MOST, len(readings.turns))
    if count < LEAST:
        return []
    head = "first token · tok/s · accepted" if width >= WIDE else "tok/s · accepted"
    latest = readings.turns[-count:][::-1]
    return [Row("LAST TURNS", head, "title"), *(_turn(each, width) for each in latest)]


def _method(totals: MethodTotals, used: bool, width: int) -> Row:
    name = figures.method(totals.spec, totals.beams)
    value = f"{figures.rate(totals.metrics.decode_rate)} {_gain(totals):>5}"
    if width >= WIDE:
        value += f" {figures.percent(totals.metrics.acceptance):>5}"
    return Row(f"{'▸' if used else ' '} {name}", value, about="BY METHOD", spare=True)


def _gain(totals: MethodTotals) -> str:
    if totals.spec.drafter == "plain" and totals.beams == 1:
        return "1"
    gain = totals.measured.speedup
    return figures.ABSENT if gain is None else f"{figures.factor(gain)}×"


def _turn(turn: TurnMetrics, width: int) -> Row:
    start = turn.start
    name = figures.method(start.spec, start.sampling.num_beams) if start else "no answer"
    kept = figures.percent(turn.acceptance)
    value = f"{figures.rate(turn.decode_rate)} {kept:>5}"
    if width >= WIDE:
        value = f"{figures.elapsed(turn.ttft_ns):>7} {value}"
    aside = "" if turn.finished else f" {turn.reason}"
    return Row(f"{name}{' cold' if turn.cold else ''}{aside}", value, about="LAST TURNS")
