"""How likely a text is: the engine's answer to that question, here and in its own process."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import (
    EngineError,
    Loaded,
    Message,
    Prefill,
    Request,
    Scored,
    Scoring,
    Start,
    Step,
    Stop,
)
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.process import ProcessEngine
from tokenhud.engines.scoring import score, surprisal

from .tiny import TinyTarget
from .tiny_engine import HeldTarget, open_tiny

SPEC = Spec(model="tiny")
tokens = st.lists(st.integers(0, 10), min_size=1, max_size=12)


def scored(events) -> Scored:
    (found,) = [each for each in events if isinstance(each, Scored)]
    return found


def run(target, prompt, answer, chunk=64, cancelled=lambda: False):
    return list(score(target, prompt, answer, chunk, count().__next__, cancelled))


@given(tokens, tokens, tokens, st.integers(1, 9))
def test_each_token_is_judged_given_all_before_it_however_it_is_cut(held, prompt, answer, chunk):
    target, truth = HeldTarget(), TinyTarget()
    target.logits(held, 1)
    events = run(target, prompt, answer, chunk)
    rows = [truth.row([*prompt, *answer[:place]]) for place in range(len(answer))]
    chances = [np.exp(row) / np.exp(row).sum() for row in rows]
    expected = [-np.log(p[token]) for p, token in zip(chances, answer, strict=True)]
    assert np.allclose(scored(events).surprisals, expected)
    assert list(scored(events).best) == [int(np.argmax(row)) for row in rows]
    assert scored(events).tokens == tuple(answer)
    parts = [each for each in events if isinstance(each, Prefill)]
    assert (parts[0].done, parts[-1].done) == (0, parts[-1].total)


def test_a_surprisal_is_in_float64_and_never_below_0():
    assert surprisal(np.array([1e4, 0.0], np.float32), 0) == 0
    assert surprisal(np.array([1e4, 0.0], np.float32), 1) == 1e4
    assert surprisal(np.zeros(8, np.float16), 3) == pytest.approx(np.log(8), abs=1e-15)


@pytest.mark.parametrize("row", [[np.nan, 1], [np.inf, 1], [-np.inf, 1]])
def test_numbers_that_are_none_are_refused(row):
    with pytest.raises(EngineError, match="invalid numbers"):
        surprisal(np.array(row), 0)


@pytest.mark.parametrize("after", [1, 4])
def test_cancel_ends_within_a_pass(after):
    calls = count(1)
    events = run(TinyTarget(), [1] * 6, [2] * 6, 2, lambda: next(calls) >= after)
    assert events[-1].reason == "cancelled"
    assert not any(isinstance(each, Scored) for each in events)
    assert sum(isinstance(each, Prefill) for each in events) == after + 1


def test_a_greedy_answer_is_what_the_engine_finds_likeliest():
    engine = LocalEngine(open_tiny, clock=count().__next__)
    told = list(engine.stream(Request((Message("user", "hello"),), SPEC, Sampling(length=9))))
    answer = tuple(token for each in told if isinstance(each, Step) for token in each.tokens)
    start = next(each for each in told if isinstance(each, Start))
    judged = list(engine.score(Scoring(start.prompt, answer, SPEC)))
    assert scored(judged).best == answer
    assert isinstance(judged[0], Start)
    assert judged[0].cached == len(start.prompt) - 1
    assert judged[-1].memory == {"weights": 8}


def test_judging_loads_what_is_not_held_and_leaves_the_first_answer_cold():
    engine = LocalEngine(open_tiny, clock=count().__next__)
    judged = list(engine.score(Scoring((1,), (2,), SPEC)))
    assert any(isinstance(each, Loaded) for each in judged)
    starts = engine.stream(Request((Message("user", "hello"),), SPEC, Sampling(length=2)))
    assert next(each for each in starts if isinstance(each, Start)).cold
    (stop,) = list(engine.score(Scoring((1,), (2,), Spec(model="missing"))))[-1:]
    assert isinstance(stop, Stop)
    assert stop.what == "There is no such model."


def test_the_process_judges_as_the_engine_inside_and_a_second_load_ends_too(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    engine = ProcessEngine("tests.tiny_engine")
    try:
        for _ in range(2):
            assert isinstance(list(engine.load(SPEC))[-1], Loaded)
        asked = Scoring((1, 2, 3), (4, 5, 6), SPEC)
        inside = LocalEngine(open_tiny)
        assert scored(engine.score(asked)).surprisals == scored(inside.score(asked)).surprisals
    finally:
        engine.close()
