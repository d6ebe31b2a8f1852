"""When frames are painted, on a virtual clock, and what the driver knows of the terminal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.tui.chat.pace import LONGEST, Pace
from tokenhud.tui.driver import PATIENCE, Echo, _Decoder

FRAME = 0.1
CHEAP = 0.001  # processor seconds of a cheap frame


def frames(
    seconds: float, late: Callable[[float], float], cost: float = CHEAP, pace: Pace | None = None
) -> list[float]:
    """When it painted; the frame of time t is taken `late(t)` later and takes `cost` of the CPU."""
    pace = pace or Pace(FRAME, cores=2)
    painted: list[float] = []
    cpu, taken = 0.0, 0.0
    for tick in range(round(seconds / FRAME)):
        now = 100 + tick * FRAME
        if pace.due(now, cpu, backlog=int(now < taken)):
            pace.painted(now, cpu)
            cpu += cost
            painted.append(now - 100)
            taken = now + late(now - 100)
    return painted


def gaps(painted: list[float]) -> list[float]:
    return [round(b - a, 6) for a, b in pairwise(painted)]


def test_a_terminal_that_keeps_up_gets_every_frame():
    assert len(frames(10, lambda _: 0)) == 100


def test_a_slow_terminal_gets_none_before_it_took_the_last_and_then_some_rest():
    assert all(gap >= 0.7 for gap in gaps(frames(20, lambda _: 0.7)))
    assert len(frames(20, lambda _: 0.7)) > 10


def test_it_is_fast_again_soon_after_the_terminal_is():
    painted = frames(20, lambda t: 0.8 if t < 10 else 0)
    assert max(gaps([t for t in painted if t < 10])) >= 0.8
    assert gaps([t for t in painted if t > 13]) == [FRAME] * (
        len([t for t in painted if t > 13]) - 1
    )


def test_a_terminal_that_takes_nothing_is_painted_now_and_then():
    painted = frames(30, lambda _: 1e9)
    assert 8 <= len(painted) <= 11


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0, 0.2))
def test_never_two_frames_on_the_way_and_never_longer_than_the_bound(
    lates: list[float], cost: float
) -> None:
    left = cycle(lates)
    painted = frames(60, lambda _: next(left), cost)
    assert all(FRAME - 1e-6 <= gap <= LONGEST + FRAME + 1e-6 for gap in gaps(painted))
    assert painted[0] == 0
    for begin, gap, late in zip(painted, gaps(painted), cycle(lates), strict=False):
        assert gap >= min(late, LONGEST) - 1e-6, begin


def test_frames_that_cost_much_are_fewer_and_the_engine_keeps_the_machine():
    dear, cheap = frames(20, lambda _: 0, cost=0.05), frames(20, lambda _: 0)
    assert len(cheap) == 200
    assert 40 <= len(dear) <= 80


def test_a_terminal_that_never_answered_is_never_asked():
    assert not Echo().ask(0)


def test_one_question_at_a_time_and_one_after_each_answer():
    echo = Echo()
    echo.answered()
    assert (echo.open, echo.ask(0), echo.open) == (False, True, True)
    assert not echo.ask(1)
    echo.answered()
    assert not echo.open
    assert echo.ask(2)


def test_a_terminal_that_falls_silent_is_asked_no_more_until_it_speaks():
    echo = Echo()
    echo.answered()
    assert echo.ask(0)
    assert not echo.ask(PATIENCE + 1)
    assert not echo.open
    assert not echo.ask(PATIENCE + 2)
    echo.answered()
    assert echo.ask(PATIENCE + 3)


@pytest.mark.parametrize("frame", [0.1, 0.25])
def test_a_timer_that_is_a_little_early_costs_no_frame(frame: float) -> None:
    pace = Pace(frame, cores=2)
    pace.painted(0, 0)
    assert pace.due(frame * 0.9, 0, 0)
    assert not pace.due(frame * 0.4, 0, 0)


@given(st.text(alphabet="ab\r\n~", max_size=30), st.integers(0, 40), st.lists(st.integers(0, 45)))
def test_the_answer_of_the_terminal_is_taken_out_of_what_is_typed(text, at, cuts):
    answer = "\x1b[?2026;2$y"
    echo = Echo()
    echo.answered()
    assert echo.ask(0)
    decoder = _Decoder(echo)
    at = min(at, len(text))
    data = (text[:at] + answer + text[at:]).encode()
    edges = sorted({0, len(data), *(each for each in cuts if each < len(data) and each != at + 1)})
    parts = [data[a:b] for a, b in pairwise(edges)]
    if any(part.endswith((b"\x1b", b"\x1b[")) for part in parts):
        return  # a key of its own, for all that can be known
    assert "".join(map(decoder.decode, parts)) == text
    assert not echo.open
