from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tokenhud.engines.events import Event, Reason, Start, Step, Stop
from tokenhud.engines.gamma import speedup
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.costs import (
    CostMeter,
    Costs,
    Measured,
    SessionCosts,
    Verification,
    costs,
    loses,
    measured_speedup,
    method,
    place,
)
from tokenhud.sessions.metrics import turn_metrics
from tokenhud.sessions.turns import TurnMetrics

MS = 1_000_000
NGRAM = Spec(drafter="ngram")
PLAIN = Spec(drafter="plain")


def start(spec: Spec = NGRAM, cold: bool = False, beams: int = 1) -> Start:
    return Start(0, (1, 2), 0, cold, spec, Sampling(num_beams=beams))


def step(
    drafted: int = 0, kept: int = 0, ms: float | None = 10, draft_ms: float | None = 0
) -> Step:
    draft_ns, pass_ns = (None if each is None else round(each * MS) for each in (draft_ms, ms))
    return Step((7,) * (kept + 1), ("a",) * (kept + 1), drafted, kept, 0, draft_ns, pass_ns)


READING = step(ms=900)


def turn(
    tokens: int,
    rate: float,
    spec: Spec = NGRAM,
    cold: bool = False,
    reason: Reason = "stop",
    beams: int = 1,
) -> TurnMetrics:
    """So many tokens after the first, at tokens/s."""
    times = [round((i / rate) * 1e9) for i in range(tokens + 1)]
    steps = [Step((7,), ("a",), 0, 0, t) for t in times]
    return turn_metrics([start(spec, cold, beams), *steps, Stop(times[-1], reason)])


def test_costs_are_medians_in_plain_passes_and_leave_the_first_step_out() -> None:
    drafts = [step(4, 4, 12, 2), step(4, 0, 14, 4), step(4, 2, 13, 3), step(2, 1, 11, 2)]
    plain = [step(ms=9), step(ms=10), step(ms=80)]
    told = costs([start(), READING, *drafts, *plain])
    assert told.plain_ns == 10 * MS
    assert told.c == pytest.approx(0.0875)  # the middle of 0.5, 0.75, 1 and 1 ms a token
    assert told.v == (Verification(0, 1.0, 3), Verification(2, 1.1, 1), Verification(4, 1.3, 3))
    assert told.drafts == 4


def test_every_turn_reads_a_prompt_first() -> None:
    turns: list[Event] = [start(), READING, step(), step(), start(), READING, step(4, 4, 13, 1)]
    told = costs(turns)
    assert told.plain_ns == 10 * MS
    assert [each.n for each in told.v] == [2, 1]


def test_an_opening_step_without_tokens_is_not_the_first() -> None:
    told = costs([start(), Step((), (), 0, 0, 0, 0, 5 * MS), READING, step()])
    assert told.plain_ns == 10 * MS


def test_the_prediction_for_one_length_is_the_formula() -> None:
    told = costs([start(), READING, *[step(4, kept, 13, 2) for kept in (4, 2, 3)]], 10 * MS)
    assert told.c == pytest.approx(0.05)
    kept = [1.0, 1.0, 2 / 3, 1 / 2]  # by position, given those before: 3 in the mean
    assert told.predicted == pytest.approx(4 / (4 * 0.05 + 1.3))
    assert told.predicted == pytest.approx(speedup(4, kept, 0.05, [10, 0, 0, 0, 13]))


def test_the_prediction_weighs_plain_steps_and_other_lengths() -> None:
    told = costs([start(), READING, step(), step(4, 4, 15, 4), step(2, 0, 12, 2)])
    assert told.predicted == pytest.approx((3 + 4) / (1 + 1.5 + 1.2 + 6 * 0.1))


def test_without_plain_passes_nothing_can_be_said_but_acceptance() -> None:
    told = costs([start(), READING, step(4, 3, 13, 1)])
    assert told == Costs(drafts=1, rolling=0.75)


def test_old_logs_tell_no_times() -> None:
    told = costs([start(), step(), step(4, 3, None, None), step(ms=None)])
    assert told == Costs(rolling=0.75)


def test_plain_passes_of_the_turn_itself_are_preferred() -> None:
    assert costs([start(), READING, step(ms=12)], plain_ns=10 * MS).plain_ns == 12 * MS


def test_rolling_acceptance_is_of_the_last_64_drafted_tokens() -> None:
    meter = CostMeter()
    assert meter.costs().rolling is None
    for _ in range(20):
        meter.add(step(8, 8))
    for _ in range(4):
        meter.add(step(8, 2))
    assert meter.costs().rolling == pytest.approx((32 + 4 * 2) / 64)


def test_a_session_keeps_drafters_and_places_apart() -> None:
    session = SessionCosts()
    other = replace(NGRAM, dtype="bfloat16")
    told = []
    for event in (
        *(start(PLAIN), READING, step(ms=10), step(ms=10)),
        *(start(PLAIN, beams=4), READING, step(ms=99)),
        *(start(NGRAM), READING, step(4, 4, 12, 1)),
        *(start(other), READING, step(4, 4, 12, 1)),
        *(start(NGRAM), READING, step(4, 4, 14, 1)),
    ):
        session.add(event)
        told.append(session.costs())
    ngram, elsewhere, again = told[9], told[12], told[15]
    assert ngram.plain_ns == again.plain_ns == 10 * MS
    assert elsewhere.plain_ns is None
    assert [each.n for each in again.v] == [2]
    assert again.v[0].cost == pytest.approx(1.3)


def test_measured_speedup_is_of_sums_of_tokens_over_sums_of_times() -> None:
    turns = [turn(10, 10, PLAIN), turn(90, 30, PLAIN), turn(100, 50), turn(200, 100)]
    assert measured_speedup(turns, NGRAM).speedup == pytest.approx((300 / 4) / (100 / 4))


@pytest.mark.parametrize(
    "stranger",
    [
        turn(500, 1, PLAIN, cold=True),
        turn(500, 1, PLAIN, reason="cancelled"),
        turn(500, 1, PLAIN, beams=4),
        turn(0, 1, PLAIN),
        turn(500, 1, replace(PLAIN, model="other")),
        turn(500, 1, replace(PLAIN, threads=1)),
        turn(500, 1, replace(PLAIN, device="cuda")),
        turn(500, 1, Spec(drafter="suffix")),
        turn(500, 1, replace(NGRAM, ngram_n=5)),
        turn(500, 1, replace(NGRAM, gamma_policy="fixed")),
        TurnMetrics(),
    ],
)
def test_only_like_turns_are_compared(stranger: TurnMetrics) -> None:
    turns = [turn(100, 20, PLAIN), stranger, turn(100, 40)]
    assert measured_speedup(turns, NGRAM).speedup == pytest.approx(2.0)
    assert measured_speedup([stranger, turn(100, 40)], NGRAM).speedup is None


def test_what_is_missing_is_said_in_words() -> None:
    assert measured_speedup([turn(100, 40)], NGRAM) == Measured(
        why="no plain answer in this chat yet: /autoregressive makes one"
    )
    assert "yet" in measured_speedup([turn(100, 20, PLAIN)], NGRAM).why
    assert measured_speedup([turn(100, 20, PLAIN)], PLAIN).why


def test_a_method_is_what_changes_how_it_drafts() -> None:
    fixed = replace(NGRAM, gamma_policy="fixed")
    assert method(replace(NGRAM, gamma=9)) == method(NGRAM)  # auto sets it itself
    assert method(replace(fixed, gamma=9)) != method(fixed)
    assert method(replace(NGRAM, draft_model="other")) == method(NGRAM)
    assert method(replace(PLAIN, gamma=9, gamma_policy="fixed")) == method(PLAIN)
    assert place(replace(NGRAM, drafter="plain", context=99)) == place(NGRAM)


@pytest.mark.parametrize(
    ("rates", "plain", "slower"),
    [
        ([20], [30], True),
        ([29], [30], False),  # within the margin
        ([20, 21, 22], [30, 31], True),
        ([10, 45, 45], [30, 31, 29], False),  # one slow turn makes the sum
        ([40], [30], False),
    ],
)
def test_whole_answers_lose_by_a_margin_and_in_most_pairs(
    rates: list[float], plain: list[float], slower: bool
) -> None:
    turns = [turn(100, rate) for rate in rates] + [turn(100, rate, PLAIN) for rate in plain]
    measured = measured_speedup(turns, NGRAM)
    assert measured.slower is slower
    assert loses(Costs(), measured) is slower


def test_a_few_tokens_prove_no_loss() -> None:
    turns = [turn(20, 10), turn(300, 30, PLAIN)]
    assert not measured_speedup(turns, NGRAM).slower


def drafts(kept: list[int], ms: float) -> Costs:
    return costs([start(), READING, step(), *(step(4, each, ms, 0.4) for each in kept)])


def test_steps_lose_where_even_luck_would_not_save_them() -> None:
    assert loses(drafts([0] * 30, 13))
    assert loses(drafts([0, 0, 0, 0, 1] * 10, 15))
    assert not loses(drafts([0] * 15, 13)), "too few drafts"
    assert not loses(drafts([0, 0, 0, 4] * 5, 19)), "within noise"
    assert not loses(drafts([2] * 30, 13))
    assert not loses(drafts([0] * 30, 10)), "costs next to nothing"
    assert not loses(Costs())


def test_the_best_case_is_two_standard_errors_more() -> None:
    told = drafts([0, 2] * 8, 15)
    rest = 1 + 16 * (1.5 + 0.04)
    assert told.predicted == pytest.approx((17 + 16) / rest)
    assert told.at_best == pytest.approx((17 + 16 + 2 * 4) / rest)


timed = st.builds(
    lambda step, draft_ns, pass_ns: replace(step, draft_ns=draft_ns, pass_ns=pass_ns),
    strategies.steps(),
    st.none() | st.integers(0, 10**10),
    st.none() | st.integers(0, 10**10),
)
events: st.SearchStrategy[Any] = st.lists(strategies.starts() | timed, max_size=40)


@given(events, st.none() | st.integers(0, 10**10))
def test_any_events_give_costs_that_are_absent_or_sound(
    given: list[Event], plain_ns: int | None
) -> None:
    meter, session = CostMeter(), SessionCosts()
    for event in given:
        meter.add(event)
        session.add(event)
        session.costs()
    told = meter.costs(plain_ns)
    assert told == costs(given, plain_ns)
    for value in (told.predicted, told.at_best):
        assert value is None or value > 0
    if told.predicted is not None and told.at_best is not None:
        assert told.at_best >= told.predicted
    assert (told.rolling is None) == (not any(isinstance(e, Step) and e.drafted for e in given))
    if not told.plain_ns:
        assert (told.c, told.v, told.predicted) == (None, (), None)
    loses(told)


@given(st.lists(strategies.answers(), max_size=6), st.sampled_from([NGRAM, PLAIN]))
def test_any_turns_give_a_measured_speedup_or_say_why_not(
    answers: list[list[Event]], spec: Spec
) -> None:
    told = measured_speedup([turn_metrics(each) for each in answers], spec)
    assert (told.speedup is None) == bool(told.why)
    assert told.speedup is None or told.speedup > 0
