"""A chart as data; draw_text.py and draw_file.py draw it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, NamedTuple, TypeGuard

from ..clean import one_line

Kind = Literal["line", "bar", "scatter"]
BAR = 0.8  # width of a category's bars together, of the 1 between categories
_LARGEST = 1e300  # spans of what lies beyond don't fit in a float


class Point(NamedTuple):
    """Where something is drawn: x is a number or the index of a category."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """`lows` and `highs` are the ends of an interval around each y. What is None, NaN or infinite
    is not drawn. `computed` is predicted or fitted rather than measured: a line without marks."""

    name: str
    xs: Sequence[float | str]
    ys: Sequence[float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """`x` and `y` name the axes, with units. `best` is the point to be marked, `notes` stand below.
    Text may be anybody's: it is cleaned when drawn, and means nothing but itself."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    kind: Kind = "line"
    best: tuple[float | str, float] | None = None
    notes: Sequence[str] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Names along x, in the order they come; none where x is a scale of numbers."""
        xs = [x for each in self.series for x in each.xs]
        if self.kind != "bar" and not any(isinstance(x, str) for x in xs):
            return ()
        return tuple(dict.fromkeys(label(x) for x in xs))

    def points(self, series: Series) -> list[Point]:
        """What of `series` can be drawn, in its order."""
        places = self._places()
        ends = zip(_padded(series.lows), _padded(series.highs), strict=False)
        found = []
        for x, y, (low, high) in zip(series.xs, series.ys, ends, strict=False):
            place = places.get(label(x)) if places else x
            if _drawable(place) and _drawable(y):
                found.append(Point(float(place), float(y), _end(low), _end(high)))
        return found

    def beside(self, points: Sequence[Point], index: int) -> list[Point]:
        """The bars of series `index` moved to their place among those of the category."""
        shift = BAR * ((index + 0.5) / len(self.series) - 0.5)
        return [each._replace(x=each.x + shift) for each in points]

    @property
    def best_point(self) -> Point | None:
        if self.best is None:
            return None
        return next(iter(self.points(Series("", self.best[:1], self.best[1:]))), None)

    @property
    def x_limits(self) -> tuple[float, float]:
        if names := self.categories:
            return -0.5, len(names) - 0.5
        return _limits([each.x for each in self._drawn()], margin=0.03)

    @property
    def y_limits(self) -> tuple[float, float]:
        """From zero where that is near, so that heights can be compared; bars always."""
        drawn = list(self._drawn())
        ends = [end for each in drawn for end in each[1:] if end is not None]
        if self.kind == "bar" or (ends and 0 <= min(ends) <= max(ends) / 2):
            ends.append(0.0)
        low, high = _limits(ends, margin=0.06)
        return (0.0 if ends and min(ends) == 0 else low), high

    def cleaned(self) -> Chart:
        """The same with every text on one line and without control characters."""
        return replace(
            self,
            title=one_line(self.title),
            x=one_line(self.x),
            y=one_line(self.y),
            series=[
                replace(each, name=one_line(each.name), xs=[_clean(x) for x in each.xs])
                for each in self.series
            ],
            best=self.best and (_clean(self.best[0]), self.best[1]),
            notes=[one_line(note) for note in self.notes],
        )

    def _places(self) -> dict[str, float]:
        return {name: float(index) for index, name in enumerate(self.categories)}

    def _drawn(self) -> Iterator[Point]:
        for each in self.series:
            yield from self.points(each)
        if best := self.best_point:
            yield best


def label(value: float | str) -> str:
    """A number or name at an axis."""
    return value if isinstance(value, str) else f"{value:,.6g}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten, within the limits."""
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 0.0
    if power == 0 or not math.isfinite(power):
        return [low]
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            break
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]


def _clean(x: float | str) -> float | str:
    return one_line(x) if isinstance(x, str) else x


def _padded(ends: Sequence[float | None]) -> Iterator[float | None]:
    yield from ends
    while True:
        yield None


def _drawable(value: float | str | None) -> TypeGuard[float]:
    return isinstance(value, Real) and abs(float(value)) < _LARGEST  # false for NaN


def _end(value: float | None) -> float | None:
    return float(value) if _drawable(value) else None


def _limits(values: Iterable[float], margin: float) -> tuple[float, float]:
    values = list(values) or [0.0, 1.0]
    low, high = min(values), max(values)
    room = (high - low) * margin
    if low + room == low or high - room == high:  # one value, as far as a float can tell
        room = abs(high) / 2 or 0.5
    return low - room, high + room
