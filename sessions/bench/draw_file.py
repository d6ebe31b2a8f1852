"""A chart as a PNG or SVG file, by matplotlib where it is installed."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.events import EngineError
from ..clean import one_line
from ..writing import write_new_bytes
from .chart import BAR, Chart, Point, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
_INCHES, _DPI = (8.0, 4.5), 150
_TITLE_COLUMNS, _NOTE_COLUMNS = 80, 125
_MOST_MARKS = 40  # points of a line, beyond which only some get a mark
_MOST_VALUES = 24  # bars, beyond which values don't fit above them
# Okabe and Ito's colours, which everybody can tell apart; marks and hatches say the same in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_BEST = "#F0E442"
_MARKS = "os^DvPX"
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")


def draw_file(chart: Chart, path: Path) -> Path:
    """Writes `path`, or path-2, path-3, ... where it is there already, and returns which. Raises
    EngineError without matplotlib, for another suffix, and where the file can't be written."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise EngineError(
            f"{one_line(path.name)} is neither a PNG nor an SVG file.", "End it in .png or .svg."
        )
    return write_new_bytes(path, _picture(chart.cleaned(), kind[1:]))


def _picture(chart: Chart, kind: str) -> bytes:
    """The same bytes for the same chart, by one version of matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError:
        raise EngineError(
            "Charts as files need matplotlib.", "Run: pip install 'tokenhud[charts]'"
        ) from None
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    _compose(figure, chart)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    stored = BytesIO()
    with rc_context({"svg.hashsalt": "tokenhud"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as a box, which is enough
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(stored, format=kind, metadata=metadata)
    return stored.getvalue()


def _compose(figure: Figure, chart: Chart) -> None:
    axes = figure.add_subplot()
    title = textwrap.fill(chart.title, _TITLE_COLUMNS)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    for index in range(len(chart.series)):
        _draw(axes, chart, index)
    if chart.best and (best := chart.best_point):
        name = f"best: {label(chart.best[0])}"
        axes.plot([best.x], [best.y], "*", markersize=16, color=_BEST, mec="black", label=name)
    _scale(axes, chart)
    if len(names := axes.get_legend_handles_labels()[1]) > 1:
        figure.legend(loc="outside upper right", ncols=min(len(names), 4), frameon=False)
    if chart.notes:
        notes = "\n".join(textwrap.fill(note, _NOTE_COLUMNS) for note in chart.notes)
        figure.supxlabel(notes, x=0.01, ha="left", fontsize=8, color="#555555")


def _scale(axes: Axes, chart: Chart) -> None:
    axes.set_xlim(*chart.x_limits)
    axes.set_ylim(*chart.y_limits)
    axes.yaxis.set_major_formatter(lambda value, _: label(value))
    if names := chart.categories:
        crowded = sum(map(len, names)) > _TITLE_COLUMNS
        axes.set_xticks(
            range(len(names)),
            names,
            parse_math=False,
            rotation=30 if crowded else 0,
            ha="right" if crowded else "center",
        )
    elif len(values := _values(chart)) <= 8:
        axes.set_xticks(values, [label(each) for each in values], parse_math=False)


def _values(chart: Chart) -> list[float]:
    return sorted({point.x for each in chart.series for point in chart.points(each)})


def _draw(axes: Axes, chart: Chart, index: int) -> None:
    series, points = chart.series[index], chart.points(chart.series[index])
    colour = _COLOURS[index % len(_COLOURS)]
    if chart.kind == "bar":
        points = chart.beside(points, index)
        axes.bar(
            [point.x for point in points],
            [point.y for point in points],
            width=BAR / len(chart.series),
            label=series.name,
            color=colour,
            hatch=_HATCHES[index % len(_HATCHES)],
            edgecolor="white",
        )
        if len(points) * len(chart.series) <= _MOST_VALUES:
            _write_values(axes, points)
    else:
        axes.plot(
            [point.x for point in points],
            [point.y for point in points],
            label=series.name,
            color=colour,
            linestyle="--" if series.computed else "-" if chart.kind == "line" else "",
            linewidth=1.6,
            marker="" if series.computed else _MARKS[index % len(_MARKS)],
            markevery=max(1, len(points) // _MOST_MARKS),
            markersize=5,
            zorder=2 if series.computed else 2.5,
        )
    _intervals(axes, points, "#333333" if chart.kind == "bar" else colour)


def _write_values(axes: Axes, points: Sequence[Point]) -> None:
    for x, y, _, high in points:
        place, text = (x, max(y, high or 0.0, 0.0)), label(float(f"{y:.3g}"))
        axes.annotate(text, place, (0, 2), textcoords="offset points", ha="center", fontsize=8)


def _intervals(axes: Axes, points: Sequence[Point], colour: str) -> None:
    for x, _, low, high in points:
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1.2, marker="_", markersize=7)
