from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tokenhud.engines.events import Event, Prefill, Reason, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.metrics import Meter, history, turn_metrics
from tokenhud.sessions.records import Record, Setting, Turn
from tokenhud.sessions.summary import percentile, session_metrics, split_turns
from tokenhud.sessions.turns import TurnMetrics

MS = 1_000_000
RATES = ("decode_rate", "e2e_rate", "prefill_rate", "acceptance", "mean_accepted_length")


def start(t: float = 0, prompt: int = 10, cached: int = 0, cold: bool = False) -> Start:
    return Start(round(t * MS), tuple(range(prompt)), cached, cold, Spec(), Sampling())


def step(t: float, n: int = 1, drafted: int = 0, accepted: int = 0, piece: str = "a") -> Step:
    return Step((7,) * n, (piece,) * n, drafted, accepted, round(t * MS))


def stop(t: float, reason: Reason = "stop") -> Stop:
    return Stop(round(t * MS), reason)


def plain(count: int, first: float, gap: float, reason: Reason = "stop") -> list[Event]:
    """`count` tokens, one a step, `gap` ms apart."""
    times = [first + gap * i for i in range(count)]
    return [start(), *(step(t) for t in times), stop(times[-1], reason)]


def test_the_prompts_time_is_not_the_tokens() -> None:
    turn = turn_metrics(plain(21, first=2000, gap=100))
    assert turn.ttft_ns == 2000 * MS
    assert turn.decode_rate == pytest.approx(10.0)
    assert turn.e2e_rate == pytest.approx(21 / 4.0)
    assert turn.tpot_ns == pytest.approx(100 * MS)


def test_the_first_token_counts_when_its_id_comes_not_its_text() -> None:
    opening = Step((), (), 0, 0, 10 * MS)
    turn = turn_metrics([start(), opening, step(300, piece=""), step(420, piece="🏳️")])
    assert turn.ttft_ns == 300 * MS
    assert turn.first_visible_ns == 420 * MS
    assert turn.passes == 2


def test_a_first_token_at_once_is_not_overwritten_by_the_second() -> None:
    assert turn_metrics([start(), step(0), step(50)]).ttft_ns == 0


def test_text_held_to_the_end_is_seen_there() -> None:
    tail = Stop(90 * MS, "length", tail="\N{REPLACEMENT CHARACTER}")
    turn = turn_metrics([start(), step(50, piece=""), tail])
    assert (turn.ttft_ns, turn.first_visible_ns) == (50 * MS, 90 * MS)


@pytest.mark.parametrize("piece", ["a", ""])
def test_one_token_has_a_first_time_and_no_rate(piece: str) -> None:
    turn = turn_metrics([start(), step(30, piece=piece), stop(30, "length")])
    assert turn.ttft_ns == 30 * MS
    assert turn.decode_rate is None
    assert turn.tpot_ns is None
    assert turn.gaps == ()
    assert session_metrics([turn]).decode_rate is None


def test_an_error_before_any_token_leaves_all_absent() -> None:
    turn = turn_metrics([Stop(5, "error", what="No.")])
    assert turn.reason == "error"
    absent = [getattr(turn, name) for name in (*RATES, "ttft_ns", "first_visible_ns", "tpot_ns")]
    assert absent == [None] * len(absent)


def test_one_step_of_several_tokens_has_no_rate() -> None:
    turn = turn_metrics([start(), step(30, 4, drafted=3, accepted=3), stop(30)])
    assert turn.decode_rate is None
    assert turn.tpot_ns is None
    assert turn.mean_accepted_length == 4


def test_tokens_of_the_first_step_are_not_in_the_decode_rate() -> None:
    events: list[Event] = [start(), step(100, 5, 4, 4), step(200, 3, 4, 2), step(300, 2, 4, 1)]
    assert turn_metrics(events).decode_rate == pytest.approx(5 / 0.2)


def test_tokens_that_came_count_not_those_planned() -> None:
    early = turn_metrics(plain(60, first=100, gap=10))
    cancelled = turn_metrics(plain(30, first=100, gap=50, reason="cancelled"))
    session = session_metrics([early, cancelled])
    assert (early.tokens, cancelled.tokens, session.tokens) == (60, 30, 60)
    assert early.decode_rate == pytest.approx(100.0)
    assert cancelled.cancelled
    assert (session.measured, session.cancelled) == (1, 1)
    assert session.decode_rate == early.decode_rate


def test_the_peak_is_of_tokens_and_gaps_have_no_first_token() -> None:
    steps = [step(2000 + 100 * i, 4, drafted=4, accepted=3) for i in range(10)]
    events: list[Event] = [start(), step(1900), *steps, stop(2900)]
    turn = turn_metrics(events)
    assert turn.tokens == 41
    assert turn.decode_rate == pytest.approx(40.0)
    assert (turn.peak or 0) >= (turn.decode_rate or 0)
    assert {gap.ns for gap in turn.gaps} == {100 * MS}
    assert {gap.tokens for gap in turn.gaps} == {4}
    assert len(turn.gaps) == 10


def test_cached_prompt_tokens_are_not_in_the_prefill_rate() -> None:
    turn = turn_metrics([start(prompt=920, cached=900), step(100), stop(100)])
    assert (turn.prompt_tokens, turn.cached_tokens, turn.evaluated_tokens) == (920, 900, 20)
    assert turn.prefill_rate == pytest.approx(200.0)


def test_prefill_begins_where_the_engine_says_so() -> None:
    waiting: list[Event] = [
        start(prompt=100),
        Prefill(400 * MS, 0, 100),
        Prefill(600 * MS, 64, 100),
        step(900),
    ]
    assert turn_metrics(waiting).prefill_rate == pytest.approx(200.0)


def test_a_clock_that_runs_backwards_gives_no_negative_time() -> None:
    turn = turn_metrics([start(5000), step(4000), step(3000), step(3500), stop(3600)])
    assert turn.ttft_ns is None
    assert turn.e2e_ns is None
    assert all(gap.ns >= 0 for gap in turn.gaps)
    assert turn.peak is None or turn.peak >= 0


def test_nothing_drafted_is_absent_and_nothing_accepted_is_zero() -> None:
    assert turn_metrics([start(), step(10), stop(10, "length")]).acceptance is None
    assert turn_metrics([start(), step(10, 1, drafted=4), stop(10)]).acceptance == 0.0


def test_acceptance_by_position_and_by_token() -> None:
    events: list[Event] = [start(), step(1, 4, 4, 3), step(2, 1, 4, 0), step(3, 3, 2, 2), step(4)]
    turn = turn_metrics(events)
    assert turn.acceptance == 5 / 10
    assert [p.acceptance for p in turn.positions] == [2 / 3, 2 / 3, 1 / 2, 0.0]
    assert turn.mean_accepted_length == 9 / 4
    assert turn.token_acceptance == 5 / (5 + 2)


def test_a_draft_cut_by_a_stop_token_was_not_rejected() -> None:
    turn = turn_metrics([start(), step(1, 2, drafted=4, accepted=2), stop(1)])
    assert turn.rejections == 0
    assert turn.token_acceptance == 1.0


def test_live_is_the_last_second() -> None:
    meter = Meter()
    meter.add(start())
    for event in [step(1000 + 100 * i) for i in range(31)]:
        meter.add(event)
    assert meter.metrics().live is None
    assert meter.metrics(1000 * MS).live is None
    assert meter.metrics(1500 * MS).live == pytest.approx(10.0)
    assert meter.metrics(4000 * MS).live == pytest.approx(10.0)
    assert meter.metrics(4500 * MS).live == pytest.approx(5.0)
    assert meter.metrics(9000 * MS).live == 0.0
    meter.add(stop(4000))
    assert meter.metrics(4000 * MS).live is None


def test_history_is_whole_buckets_until_the_end() -> None:
    events = plain(13, first=0, gap=100)[:-1]
    assert history(events, 999 * MS) == pytest.approx([10.0])
    assert history(events, 1000 * MS) == pytest.approx([10.0, 10.0])
    assert history([*events, stop(1200)]) == pytest.approx([10.0, 10.0])
    assert history([start(), step(5), stop(5)]) == []


@given(strategies.answers())
def test_counts_and_times_agree_with_the_events(events: list[Event]) -> None:
    turn = turn_metrics(events)
    steps = [each for each in events if isinstance(each, Step)]
    assert turn.tokens == sum(len(each.tokens) for each in steps)
    assert turn.tokens == turn.first_tokens + sum(gap.tokens for gap in turn.gaps)
    assert turn.drafted == sum(each.drafted for each in steps)
    assert turn.accepted == sum(each.accepted for each in steps) <= turn.drafted
    assert turn.drafted == sum(each.drafted for each in turn.positions)
    assert turn.decode_ns == (sum(gap.ns for gap in turn.gaps) if steps else None)
    assert [gap.ns for gap in turn.gaps] == [b.t_ns - a.t_ns for a, b in pairwise(steps)]
    assert all(kept.accepted <= kept.drafted for kept in turn.positions)


@given(strategies.answers())
def test_what_is_absent_is_none_and_the_rest_is_finite(events: list[Event]) -> None:
    turn = turn_metrics(events, 10**12)
    for name in (*RATES, "tpot_ns", "token_acceptance", "live", "peak"):
        value = getattr(turn, name)
        assert value is None or (np.isfinite(value) and value >= 0)
    assert turn.decode_rate != 0
    if turn.decode_rate is not None:
        assert turn.peak is not None
        assert turn.peak >= turn.decode_rate * (1 - 1e-9)


@given(strategies.answers(), st.integers(0, 5 * 10**9))
def test_folding_gives_the_same_at_every_prefix(events: list[Event], now: int) -> None:
    meter = Meter()
    for done, event in enumerate(events, 1):
        meter.add(event)
        assert meter.metrics(now) == turn_metrics(events[:done], now)
        assert meter.history(now) == history(events[:done], now)


@given(strategies.answers())
def test_history_adds_up_to_the_decode_rate(events: list[Event]) -> None:
    turn, buckets = turn_metrics(events), history(events)
    if not buckets:
        assert not turn.decode_ns
        return
    assert turn.decode_ns is not None
    widths = [500 * MS] * (len(buckets) - 1)
    widths.append(turn.decode_ns - sum(widths))
    told = sum(rate * width for rate, width in zip(buckets, widths, strict=True)) / 1e9
    assert told == pytest.approx(turn.decode_tokens)


@given(st.lists(strategies.answers(), max_size=5))
def test_every_turn_is_counted_once_and_rates_are_totals(answers: list[list[Event]]) -> None:
    turns = [turn_metrics(events) for events in answers]
    session = session_metrics(turns)
    kinds = (session.cold, session.cancelled, session.failed, session.unfinished)
    assert session.turns == session.measured + sum(kinds) == len(turns)
    rated = [turn for turn in turns if turn.finished and not turn.cold and turn.decode_rate]
    spent = sum(turn.decode_ns or 0 for turn in rated)
    tokens = sum(turn.decode_tokens for turn in rated)
    assert session.decode_rate == (pytest.approx(tokens * 1e9 / spent) if rated else None)


def test_cold_turns_are_kept_out() -> None:
    cold = turn_metrics([start(cold=True), *plain(5, first=9000, gap=900)[1:]])
    warm = turn_metrics(plain(5, first=100, gap=100))
    session = session_metrics([cold, warm])
    assert (session.cold, session.measured, session.ttft_ns) == (1, 1, (100 * MS,))
    assert session.decode_rate == pytest.approx(10.0)


def test_a_session_of_nothing() -> None:
    assert session_metrics([]).decode_rate is None
    assert session_metrics([TurnMetrics()]).unfinished == 1


def test_percentiles() -> None:
    assert percentile([], 50) == (None, 0)
    assert percentile([3.5], 50) == (3.5, 1)
    assert percentile([1.0, 2.0], 50) == (1.5, 2)
    assert percentile(range(19), 95) == (None, 19)
    assert percentile(range(20), 95).value == pytest.approx(18.05)
    assert percentile(range(20), 99) == (None, 20)


def test_turns_are_split_at_their_stops() -> None:
    first, second = Turn(1, "a", ""), Turn(2, "b", "")
    loose = Step((1,), ("x",), 0, 0, 99)
    one: list[Record] = [loose, first, start(), Setting("gamma", 3), step(1), stop(2)]
    two: list[Record] = [loose, second, start(5), step(6)]
    turns = split_turns(one + two)
    assert [each.turn for each in turns] == [first, second]
    assert turns[0].events == [start(), step(1), stop(2)]
    assert turns[1].events == [start(5), step(6)]
