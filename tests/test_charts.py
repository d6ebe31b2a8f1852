from __future__ import annotations

import io
import math
import sys
from dataclasses import replace
from pathlib import Path
from unicodedata import east_asian_width
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tokenhud.engines.events import EngineError
from tokenhud.sessions.bench.chart import Chart, Point, Series, ticks
from tokenhud.sessions.bench.draw_file import draw_file
from tokenhud.sessions.bench.draw_text import draw_text
from tokenhud.sessions.clean import clean

GAMMA = Chart(
    "Speed-up by γ",
    "drafted tokens",
    "× plain",
    [
        Series("measured", [2, 4, 6, 8], [1.8, 2.2, 2.6, 2.5], [1.7] * 4, [1.9, 2.3, 2.7, 2.6]),
        Series("predicted", [2, 4, 6, 8], [1.9, 2.3, 2.5, 2.6], computed=True),
    ],
    best=(6, 2.6),
    notes=["5 runs."],
)
SCENARIOS = Chart(
    "Throughput",
    "scenario",
    "tok/s",
    [
        Series("prefill", ["S1", "S2", "S3"], [800, 1000, 1100]),
        Series("decode", ["S1", "S2", "S3"], [400, 300, 200]),
    ],
    kind="bar",
)
PREFILL = Chart(
    "TTFT",
    "prompt tokens",
    "ms",
    [Series("native", [16, 64, 512], [20.0, 20.3, 23.1])],
    kind="scatter",
)
HOSTILE = "\x1b[31mred\x07 $\\frac{1}{0}$ $x_ <b>&\u202e ]]> --"
EVIL = Chart(
    HOSTILE,
    HOSTILE,
    HOSTILE,
    [Series(HOSTILE, [HOSTILE, "b"], [1, 2]), Series("$", ["b"], [2])],
    kind="bar",
    best=(HOSTILE, 1),
    notes=[HOSTILE],
)
EVERY = pytest.mark.parametrize(
    "chart", [GAMMA, SCENARIOS, PREFILL, EVIL], ids=["line", "bar", "scatter", "hostile"]
)

names = st.text(max_size=12)
numbers = st.floats() | st.none()
charts = st.builds(
    Chart,
    title=names,
    x=names,
    y=names,
    series=st.lists(
        st.builds(
            Series,
            names,
            st.lists(st.floats(), max_size=6) | st.lists(names, max_size=6),
            *[st.lists(numbers, max_size=6)] * 3,
            computed=st.booleans(),
        ),
        max_size=3,
    ),
    kind=st.sampled_from(["line", "bar", "scatter"]),
    best=st.none() | st.tuples(st.floats() | names, st.floats()),
    notes=st.lists(names, max_size=2),
)


def columns(text: str) -> int:
    return max(sum(1 + (east_asian_width(c) in "WF") for c in line) for line in text.split("\n"))


@EVERY
def test_a_text_chart_says_what_it_shows(chart: Chart) -> None:
    text = draw_text(chart, 100, 24, colour=False)
    lines = text.split("\n")
    assert len(lines) <= 24
    assert columns(text) <= 100
    assert clean(text) == text
    shown = chart.cleaned()
    assert lines[0] == shown.title
    assert shown.x in text
    assert shown.y in lines
    assert len(shown.series) == 1 or all(each.name in text for each in shown.series)
    assert lines[-len(shown.notes) :] == shown.notes or not shown.notes


def test_a_text_chart_has_its_ticks_and_marks() -> None:
    text = draw_text(GAMMA, 60, 20, colour=False)
    assert [line.split() for line in text.split("\n")][-3] == ["2", "4", "6", "8"]
    assert "★ best: 6" in text
    assert text.count("★") == 2
    assert text.count("●") == 4  # the legend, and the points but the best
    assert "│" in text


def test_bars_are_as_high_as_their_values() -> None:
    text = draw_text(SCENARIOS, 60, 24, colour=False)
    rows = text.split("\n")[3:]
    high, low = (sum(sign in row for row in rows) for sign in "█▒")
    assert high / low == pytest.approx(1100 / 400, rel=0.2)
    assert text.split("\n")[-2].split() == ["S1", "S2", "S3"]


def test_a_measured_point_is_drawn_over_a_computed_one() -> None:
    measured = Series("m", [1, 2, 3], [1, 2, 3])
    same = replace(measured, computed=True)
    text = draw_text(Chart("t", "x", "y", [measured, same]), 60, 20, colour=False)
    assert text.count("●") == 4


def test_a_spike_among_many_points_is_seen() -> None:
    ys = [10.0 if n != 7001 else 100.0 for n in range(20_000)]
    chart = Chart("t", "x", "y", [Series("a", range(20_000), ys)])
    rows = draw_text(chart, 80, 20, colour=False).split("\n")
    assert any("\u2800" < each <= "\u28ff" for row in rows[2:6] for each in row)


def test_colour_is_escape_sequences_around_the_same_text() -> None:
    coloured = draw_text(GAMMA, 60, 20, colour=True)
    assert "\x1b[" in coloured
    assert "\x1b[48" not in coloured  # the terminal's own background stays


@EVERY
def test_without_braille_a_text_chart_is_ascii(chart: Chart) -> None:
    for encoding in ("ascii", "latin-1", "no-such-encoding"):
        text = draw_text(chart, 70, 20, colour=False, encoding=encoding)
        assert text.isascii()
        assert columns(text) <= 70
        assert "|" in text


@pytest.mark.parametrize("size", [(10, 20), (60, 5), (1, 1), (0, 0)])
def test_too_little_room_is_said(size: tuple[int, int]) -> None:
    text = draw_text(PREFILL, *size, colour=False)
    assert columns(text) <= size[0]
    assert len(text.split("\n")) <= max(size[1], 1)
    if size == (60, 5):
        assert "Too small" in text


def test_a_name_wider_than_its_place_is_cut() -> None:
    wide = [f"{'模型' * 20}{n}" for n in range(4)]
    chart = Chart("模" * 80, "x", "y", [Series("a", wide, [1, 2, 3, 4])], kind="bar")
    text = draw_text(chart, 60, 16, colour=False)
    assert columns(text) <= 60
    assert text.split("\n")[0].endswith("…")


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out(odd: float | None) -> None:
    series = Series("a", [1, 2, 3], [5, odd, 7], [4, 1, odd], [6, 1, 8])
    chart = Chart("t", "x", "y", [series])
    assert chart.points(series) == [Point(1, 5, 4, 6), Point(3, 7, None, 8)]
    assert "No values." in draw_text(
        replace(chart, series=[replace(series, ys=[odd] * 3)]), 60, 20, colour=False
    )


def test_numbers_of_arrays_serve_as_well() -> None:
    series = Series("a", list(np.arange(3)), list(np.array([1, 2, 3], dtype=np.float32)))
    assert Chart("t", "x", "y", [series]).points(series) == [Point(0, 1), Point(1, 2), Point(2, 3)]


@settings(max_examples=40, deadline=None)
@given(charts, st.integers(20, 90), st.integers(5, 30))
def test_any_chart_can_be_drawn_as_text(chart: Chart, width: int, height: int) -> None:
    text = draw_text(chart, width, height, colour=False)
    assert columns(text) <= width
    assert len(text.split("\n")) <= height
    assert clean(text) == text


@settings(max_examples=5, deadline=None)
@given(charts)
def test_any_chart_can_be_drawn_as_a_file(tmp_path_factory, chart: Chart) -> None:
    written = draw_file(chart, tmp_path_factory.mktemp("charts") / "chart.svg")
    ElementTree.parse(written)


@pytest.mark.parametrize(
    ("limits", "most", "expected"),
    [
        ((0, 10), 6, [0, 2, 4, 6, 8, 10]),
        ((-1, 1), 5, [-1, -0.5, 0, 0.5, 1]),
        ((1.69, 2.73), 5, [1.8, 2, 2.2, 2.4, 2.6]),
        ((0, 1200), 3, [0, 500, 1000]),
    ],
)
def test_ticks_are_round(limits: tuple[float, float], most: int, expected: list[float]) -> None:
    assert ticks(*limits, most) == expected


@pytest.mark.parametrize(
    ("ys", "kind", "from_zero"),
    [
        ([20, 26], "line", False),
        ([20, 26], "bar", True),
        ([2, 26], "line", True),
        ([-5, 26], "line", False),
    ],
)
def test_an_axis_starts_at_zero_where_that_is_near(ys, kind, from_zero: bool) -> None:
    chart = Chart("t", "x", "y", [Series("a", [1, 2], ys)], kind=kind)
    low, high = chart.y_limits
    assert (low == 0) is from_zero
    assert low < min(ys)
    assert max(ys) < high


def test_a_best_point_of_no_category_is_not_marked() -> None:
    assert replace(SCENARIOS, best=("S9", 1)).best_point is None
    assert replace(SCENARIOS, best=("S2", 1000)).best_point == Point(1, 1000)


@EVERY
def test_a_png_is_a_picture_with_something_on_it(tmp_path: Path, chart: Chart) -> None:
    written = draw_file(chart, tmp_path / "new folder" / "chart.PNG")
    picture = Image.open(io.BytesIO(written.read_bytes()))
    assert picture.format == "PNG"
    assert picture.size == (1200, 675)
    assert len(picture.convert("RGB").getcolors(100_000) or []) > 10


@EVERY
def test_an_svg_is_valid_and_the_same_every_time(tmp_path: Path, chart: Chart) -> None:
    first = draw_file(chart, tmp_path / "chart.svg")
    ElementTree.parse(first)
    again = draw_file(chart, tmp_path / "chart.svg")
    assert again.name == "chart-2.svg"
    assert again.read_bytes() == first.read_bytes()
    assert b"dc:date" not in first.read_bytes()


def test_dollars_are_dollars(tmp_path: Path) -> None:
    """As mathematics, the title and the name could not be drawn at all."""
    svg = draw_file(EVIL, tmp_path / "chart.svg").read_text()
    assert "$\\frac{1}{0}$" in svg
    assert "\x1b" not in svg


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "chart.png").write_text("mine")
    assert draw_file(PREFILL, tmp_path / "chart.png").name == "chart-2.png"
    assert (tmp_path / "chart.png").read_text() == "mine"


def test_other_suffixes_and_places_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"chart\.gif is neither .* End it in \.png or \.svg\."):
        draw_file(PREFILL, tmp_path / "chart.gif")
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be written"):
        draw_file(PREFILL, tmp_path / "file" / "chart.svg")


def test_without_matplotlib_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EngineError) as caught:
        draw_file(PREFILL, tmp_path / "chart.png")
    assert caught.value.what == "Charts as files need matplotlib."
    assert caught.value.remedy == "Run: pip install 'tokenhud[charts]'"
    assert not list(tmp_path.iterdir())
