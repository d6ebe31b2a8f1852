"""The turns of a chat in words: a row each, totals by method, and the chart of one turn's steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...engines.events import Step
from ...sessions import figures
from ...sessions.bench.chart import Chart, Series
from ...sessions.methods import MethodTotals, times_plain
from ...sessions.turn_book import Entry
from ...sessions.turns import TurnMetrics

MS = 1e6  # nanoseconds
OUTCOMES = ("nothing drafted", "all kept", "some kept", "none kept")


class Column(NamedTuple):
    name: str
    numeric: bool = True


# The most telling first: a narrow window shows no more than those.
COLUMNS = (
    Column("turn"),
    Column("method", False),
    Column("tokens"),
    Column("TTFT"),
    Column("tok/s"),
    Column("× plain"),
    Column("accepted"),
    Column("ended", False),
    Column("prompt"),
    Column("weights", False),
    Column("runtime", False),
)


def cells(entry: Entry, totals: Sequence[MethodTotals], now_ns: int) -> list[str]:
    """One for each of COLUMNS."""
    turn = entry.metrics(now_ns)
    start = turn.start
    return [
        figures.count(entry.turn.turn_id),
        figures.method(start.spec, start.sampling.num_beams) if start else figures.ABSENT,
        figures.count(turn.completion_tokens if start else None),
        figures.elapsed(turn.ttft_ns),
        figures.rate(turn.decode_rate if entry.ended else turn.live),
        figures.factor(times_plain(turn, totals)),
        figures.percent(turn.acceptance),
        _ended(entry, turn),
        figures.count(turn.prompt_tokens),
        figures.weights(start.spec) if start else figures.ABSENT,
        start.spec.target if start and not start.spec.url else figures.ABSENT,
    ]


def in_words(row: Sequence[str]) -> str:
    """A row's figures with their names, on one line."""
    named = zip(COLUMNS, row, strict=True)
    return ", ".join(f"{column.name} {value}" for column, value in named)


def totals_lines(totals: Sequence[MethodTotals]) -> list[str]:
    """One for each method; the weights are named where not all ran on the same."""
    several = len({figures.weights(each.spec) for each in totals}) > 1
    return [_totals_line(each, several) for each in totals]


def _totals_line(totals: MethodTotals, weights: bool) -> str:
    metrics, gain = totals.metrics, totals.measured.speedup
    out = metrics.turns - metrics.measured
    words = [
        f"Σ {figures.method(totals.spec, totals.beams)}",
        *([figures.weights(totals.spec)] if weights else []),
        f"{figures.rate(metrics.decode_rate)} tok/s",
        *([f"{figures.factor(gain)}× plain"] if gain is not None else []),
        *([f"accepted {figures.percent(metrics.acceptance)}"] if metrics.drafted else []),
        f"{figures.counted(metrics.measured, 'turn')}, {figures.count(metrics.tokens)} tok",
        *([f"{out} cold or not whole, kept out"] if out else []),
    ]
    return figures.BETWEEN.join(words)


def step_chart(entry: Entry) -> Chart:
    """How long each step took but the first, which reads the prompt; a mark tells what came of its
    draft."""
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in OUTCOMES}
    for at, (step, took) in enumerate(zip(entry.steps, entry.times(), strict=True)):
        if at:
            found[_outcome(step)].append((at + 1, took / MS))
    series = [  # all of them, so that a mark means the same in every turn
        Series(name, [x for x, _ in points], [y for _, y in points])
        for name, points in found.items()
    ]
    return Chart("", "step", "ms a step", series, "scatter")


def _outcome(step: Step) -> str:
    if not step.drafted:
        return OUTCOMES[0]
    if step.accepted == step.drafted:
        return OUTCOMES[1]
    return OUTCOMES[2] if step.accepted else OUTCOMES[3]


def _ended(entry: Entry, turn: TurnMetrics) -> str:
    words: list[str] = [turn.reason or "goes on"]
    words += ["cold"] if turn.cold else []
    words += ["taken back"] if entry.taken_back else []
    return ", ".join(words)
