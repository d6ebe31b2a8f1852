"""A chart in characters, for a terminal or a text file."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from ..clean import cells
from .chart import BAR, Chart, Point, label, ticks

_LEAST = 24, 6  # columns and rows of a plot, below which nothing can be read off it
_TICK_COLUMNS, _TICK_ROWS = 12, 3  # room for a tick's label
_MARK_COLUMNS = 3  # room for a point's mark
_CROWDED = 8  # points of a line in a column
_COLOURS = ("blue+", "orange+", "green+", "magenta+", "cyan+", "red+", "gray+", "blue")
_TO_ASCII = str.maketrans(dict(zip("─│┌┐└┘├┤┬┴┼–·×…²µαγρ", "-|+++++++++-.x~2uagr", strict=True)))
_PLOTEXT = threading.Lock()  # it has one figure for everybody


class _Signs(NamedTuple):
    line: str
    marks: str
    bars: str
    computed: str
    interval: str
    best: str


_UNICODE = _Signs("braille", "●▲■◆▼○△□", "█▒░▓", "·", "│", "★")
_ASCII = _Signs(".", "ox+sdvna", "#=:%", "-", "|", "*")


def draw_text(chart: Chart, width: int, height: int, colour: bool, encoding: str = "utf-8") -> str:
    """At most `height` lines of at most `width` columns, without escape sequences unless in
    `colour`. In ASCII where `encoding` has no braille."""
    chart = chart.cleaned()
    signs = _UNICODE if _has_braille(encoding) else _ASCII
    above = [*filter(None, [chart.title, *_legend(chart, signs, width), chart.y])]
    below = [*filter(None, [chart.x and chart.x.center(width), *chart.notes])]
    rows = height - len(above) - len(below)
    if not any(chart.points(each) for each in chart.series):
        plot = [_cut("No values.", width)]
    elif width < _LEAST[0] or rows < _LEAST[1]:
        plot = [_cut(f"Too small: needs {_LEAST[0]} x {height - rows + _LEAST[1]}.", width)]
    else:
        plot = _plot(chart, signs, width, rows, colour)
    above, below = ([_cut(line, width).rstrip() for line in lines] for lines in (above, below))
    text = "\n".join([*above, *plot, *below][: max(height, 0)])
    if signs is _UNICODE:
        return text
    return text.translate(_TO_ASCII).encode("ascii", "replace").decode()


def _legend(chart: Chart, signs: _Signs, width: int) -> list[str]:
    """Which sign is which series; on one line where they fit."""
    words = [f"{_sign(chart, signs, n)} {each.name}" for n, each in enumerate(chart.series)]
    words = words if len(words) > 1 else []
    if chart.best and chart.best_point:
        words.append(f"{signs.best} best: {label(chart.best[0])}")
    together = "   ".join(words)
    return [together] if together and len(together) <= width else words


def _sign(chart: Chart, signs: _Signs, index: int) -> str:
    if chart.series[index].computed:
        return signs.computed
    signs_of_kind = signs.bars if chart.kind == "bar" else signs.marks
    return signs_of_kind[index % len(signs_of_kind)]


def _plot(chart: Chart, signs: _Signs, width: int, height: int, colour: bool) -> list[str]:
    import plotext

    figure = plotext.figure
    with _PLOTEXT:
        try:
            plotext.terminal.limit(False, False)
            figure.clear()
            figure.theme("colorless")
            figure.plot_size(width, height)
            figure.axes(False, axis="x", side="upper")
            figure.axes(False, axis="y", side="right")
            _scale(figure, chart, width, height)
            for index in _order(chart):
                _draw(figure, chart, index, signs, width)
            if best := chart.best_point:
                _dots(figure, [best], plotext.marker(signs.best))
            text: str = figure.build().string(colorless=not colour)
        finally:
            figure.clear()
            plotext.terminal.limit()
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def _order(chart: Chart) -> list[int]:
    """What is measured comes last, over what is computed."""
    return sorted(range(len(chart.series)), key=lambda index: not chart.series[index].computed)


def _scale(figure: Any, chart: Chart, width: int, height: int) -> None:
    """Limits and ticks, of our choice: plotext's are at odd numbers."""
    y_ticks = ticks(*chart.y_limits, height // _TICK_ROWS)
    y_labels = [label(each) for each in y_ticks]
    columns = width - 1 - max(map(len, y_labels), default=0)
    if names := chart.categories:
        room = max(columns // len(names) - 1, 1)
        x_ticks, x_labels = [*range(len(names))], [_cut(_narrow(name), room) for name in names]
    else:
        x_ticks = _x_ticks(chart, columns)
        x_labels = [label(each) for each in x_ticks]
    figure.ruler("x", "lower").lim(*chart.x_limits)
    figure.ruler("y", "left").lim(*chart.y_limits)
    figure.ruler("x", "lower").ticks(x_ticks, x_labels)
    figure.ruler("y", "left").ticks(y_ticks, y_labels)


def _x_ticks(chart: Chart, columns: int) -> list[float]:
    """The values themselves where they are few."""
    most = max(columns // _TICK_COLUMNS, 2)
    values = sorted({point.x for each in chart.series for point in chart.points(each)})
    return values if len(values) <= most else ticks(*chart.x_limits, most)


def _draw(figure: Any, chart: Chart, index: int, signs: _Signs, width: int) -> None:
    import plotext

    series, points = chart.series[index], chart.points(chart.series[index])
    pixel = plotext.pixel(foreground=_COLOURS[index % len(_COLOURS)])
    mark = plotext.marker(_sign(chart, signs, index), pixel=pixel)
    interval = plotext.marker(signs.interval, pixel=pixel)
    if chart.kind == "bar":
        points = chart.beside(points, index)
        _bars(figure, points, BAR / len(chart.series), mark)
        _intervals(figure, points, interval)
    elif series.computed:
        _line(figure, points, mark)
    else:
        if chart.kind == "line":
            _line(figure, _thinned(points, width), plotext.marker(signs.line, pixel=pixel))
        _intervals(figure, points, interval)
        _dots(figure, _marked(chart, points, width), mark)


def _marked(chart: Chart, points: list[Point], width: int) -> list[Point]:
    """Which points get a mark: where a line has too many, as few as tell it from the others."""
    if chart.kind == "scatter" or len(points) * _MARK_COLUMNS <= width:
        return points
    return points[:: 1 + len(points) // 8] if len(chart.series) > 1 else []


def _thinned(points: list[Point], columns: int) -> list[Point]:
    """Of what shares a column the lowest and the highest point, as no more can be seen."""
    size = len(points) // columns
    if size < _CROWDED:
        return points
    parts = (points[start : start + size] for start in range(0, len(points), size))
    ends = ((min(part, key=_height), max(part, key=_height)) for part in parts)
    return [point for pair in ends for point in sorted(pair, key=lambda each: each.x)]


def _height(point: Point) -> float:
    return point.y


def _dots(figure: Any, points: list[Point], mark: Any) -> None:
    figure.draw(figure.signal([p.x for p in points], [p.y for p in points], marker=mark))


def _line(figure: Any, points: list[Point], mark: Any) -> None:
    signal = figure.signal([p.x for p in points], [p.y for p in points], marker=mark)
    figure.draw(signal.lines(True))


def _bars(figure: Any, points: list[Point], width: float, mark: Any) -> None:
    for x, y, *_ in points:
        if y:  # one of no height would still fill a row
            sides = (x - width / 2, x + width / 2)
            figure.draw(figure.rectangle(sides, (0.0, y), marker=mark, lines=True, fill=True))


def _intervals(figure: Any, points: list[Point], mark: Any) -> None:
    for x, _, low, high in points:
        if low is not None and high is not None:
            figure.draw(figure.segment((x, x), (low, high), marker=mark))


def _has_braille(encoding: str) -> bool:
    try:
        "⠿─".encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _cut(text: str, width: int) -> str:
    """As much of `text` as fits in `width` columns, with … where some doesn't."""
    if cells(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept += character
    return (kept + "…")[: max(width, 0)]


def _narrow(text: str) -> str:
    """`text` in characters of one column, as a plot places them one by one."""
    return "".join(each if cells(each) == 1 else "?" for each in text)
