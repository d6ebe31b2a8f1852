from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from tokenhud.engines.events import Loaded, Message, Prefill, Progress, Request, Start, Step, Stop
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Sampling, Spec

from .tiny_engine import open_tiny

SPEC = Spec(model="tiny")


def request(text: str = "hello", spec: Spec = SPEC, **sampling: float) -> Request:
    options = Sampling(**{"length": 6, **sampling})  # type: ignore[arg-type]
    return Request((Message("user", text),), spec, options)


@pytest.fixture
def engine() -> LocalEngine:
    return LocalEngine(open_tiny, clock=count().__next__)


def kinds(events: list[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_first_request_loads_the_model_and_counts_as_cold(engine):
    first, second = list(engine.stream(request())), list(engine.stream(request()))
    assert kinds(first)[:6] == ["Progress"] * 3 + ["Loaded", "Start", "Prefill"]
    assert kinds(second)[:2] == ["Start", "Prefill"]
    starts = [event for event in first + second if isinstance(event, Start)]
    assert [start.cold for start in starts] == [True, False]


def test_a_model_whose_draft_model_failed_is_told_of_with_the_next_answer(engine):
    drafting = Spec(model="tiny", drafter="speculative", draft_model="missing")
    failed = list(engine.load(drafting))
    assert kinds(failed)[-1] == "Stop"
    assert "Loaded" not in kinds(failed)
    counted = [kinds(list(engine.stream(request()))).count("Loaded") for _ in range(2)]
    assert counted == [1, 0]


def test_the_effective_settings_come_from_the_engine(engine):
    (start,) = [e for e in engine.stream(request(temperature=1)) if isinstance(e, Start)]
    assert start.spec == Spec(model="tiny", device="cpu", threads=1, context=64)
    assert start.sampling.seed is not None
    assert start.prompt == (1,) * 5


def exactly(n: int, text: str = "abc", **sampling: object) -> Request:
    options = Sampling(**{"length": 6, **sampling})  # type: ignore[arg-type]
    return Request((Message("user", text),), SPEC, options, exact=n)


def test_an_exact_prompt_is_the_text_repeated_and_cut_in_no_template(engine):
    (start,) = [e for e in engine.stream(exactly(8)) if isinstance(e, Start)]
    assert start.prompt == (0, 1, 2, 0, 1, 2, 0, 1)


def test_a_text_without_tokens_cannot_be_repeated(engine):
    stop = list(engine.stream(exactly(8, "???")))[-1]
    assert isinstance(stop, Stop)
    assert stop.what == "The prompt has no text to repeat."


def test_stop_ids_end_an_answer_unless_they_are_ignored(engine):
    lengths = {"off": set(), "on": set()}
    for seed in range(30):  # some of them draw the stop id
        for ignore, found in lengths.items():
            asked = exactly(2, temperature=5, seed=seed, ignore_eos=ignore)
            steps = [e for e in engine.stream(asked) if isinstance(e, Step)]
            found.add(sum(len(step.tokens) for step in steps))
    assert lengths["on"] == {6}
    assert min(lengths["off"]) < 6


def test_a_fresh_request_holds_nothing_of_what_came_before(engine):
    prompt = request("the same words")
    list(engine.stream(prompt))
    held, fresh = (
        next(e for e in engine.stream(replace(prompt, fresh=fresh)) if isinstance(e, Start)).cached
        for fresh in (False, True)
    )
    assert held > 0
    assert fresh == 0


def test_acceptance_is_stamped_when_asked_not_when_read(engine):
    events = engine.stream(request())
    later = engine._clock()
    (start,) = [event for event in events if isinstance(event, Start)]
    assert start.t_ns < later


def test_the_prefix_of_the_last_turn_is_not_evaluated_again(engine):
    list(engine.stream(request("aaaa")))
    events = list(engine.stream(request("aaaaaaa")))
    (start,) = [event for event in events if isinstance(event, Start)]
    assert start.cached == 4
    assert next(event.total for event in events if isinstance(event, Prefill)) == 3


def test_a_changed_drafter_keeps_the_weights_and_a_changed_model_does_not(engine):
    list(engine.load(SPEC))
    assert kinds(list(engine.load(Spec(model="tiny", gamma=9)))) == ["Loaded"]
    assert "Loaded" in kinds(list(engine.load(Spec(model="other"))))


def test_pieces_join_to_the_text_and_the_stop_token_has_none(engine):
    events = list(engine.stream(request("aaa", temperature=1, seed=4, length=40)))
    steps = [event for event in events if isinstance(event, Step)]
    stop = events[-1]
    assert isinstance(stop, Stop)
    for step in steps:
        assert [bool(piece) for piece in step.pieces] == [token != 10 for token in step.tokens]
    assert stop.reason == ("stop" if steps[-1].tokens[-1] == 10 else "length")
    assert stop.tail == "."


def test_cancel_ends_after_the_current_step_and_the_next_answer_is_whole(engine):
    whole = [e.tokens for e in engine.stream(request()) if isinstance(e, Step)]
    seen = []
    for event in engine.stream(request()):
        seen.append(event)
        if isinstance(event, Step):
            engine.cancel()
    assert kinds(seen)[-2:] == ["Step", "Stop"]
    assert seen[-1].reason == "cancelled"
    assert [e.tokens for e in engine.stream(request()) if isinstance(e, Step)] == whole


def test_cancel_before_the_first_event_counts(engine):
    list(engine.load(SPEC))
    events = engine.stream(request())
    engine.cancel()
    assert list(events)[-1].reason == "cancelled"


def test_cancel_while_loading_keeps_nothing_half_open(engine):
    events = engine.load(SPEC)
    assert isinstance(next(events), Progress)
    engine.cancel()
    assert list(events)[-1].reason == "cancelled"
    assert isinstance(list(engine.load(SPEC))[-1], Loaded)


def test_a_conversation_too_long_names_both_numbers_and_the_next_one_works(engine):
    stop = list(engine.stream(request("x" * 64)))[-1]
    assert (stop.reason, stop.what) == (
        "error",
        "The conversation needs 64 tokens and the context holds 64.",
    )
    assert list(engine.stream(request()))[-1].reason in ("stop", "length")


def test_the_answer_never_leaves_the_context(engine):
    events = list(engine.stream(request("x" * 61, length=40)))
    emitted = sum(len(event.tokens) for event in events if isinstance(event, Step))
    (start,) = [event for event in events if isinstance(event, Start)]
    assert emitted <= 3
    assert "room for 3" in start.notes[0]


def test_a_failed_load_is_a_sentence_and_the_old_model_is_gone_but_not_the_engine(engine):
    stop = list(engine.load(Spec(model="missing")))[-1]
    assert (stop.what, stop.remedy) == ("There is no such model.", "Name another.")
    assert isinstance(list(engine.load(SPEC))[-1], Loaded)
