"""/verify and /tune: the last message answered again, beside the conversation."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from tokenhud.engines.events import EngineError, Progress, Start, Step, Stop
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import DRAFTERS, Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.conversation import conversation
from tokenhud.sessions.encoding import from_line, to_line
from tokenhud.sessions.log import Log
from tokenhud.sessions.records import Trial
from tokenhud.sessions.summary import split_turns
from tokenhud.sessions.trials import Attempt, CancelledError, attempt, last_sampling
from tokenhud.sessions.tune import Point, tune
from tokenhud.sessions.turns import TurnMetrics
from tokenhud.sessions.verify import NEAR, Verified, compare, verify
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Live, Said
from tokenhud.tui.commands.trial import same_words, tune_chart

from .tiny_engine import open_tiny

SPEC = Spec(model="tiny", draft_model="twin")


def chat_of(spec: Spec = SPEC, **sampling) -> Chat:
    options = Sampling(**{"length": 20, **sampling})
    log = Log.in_memory(header(spec, options))
    return Chat(LocalEngine(open_tiny, clock=count().__next__), log, spec, options)


def asked(spec: Spec = SPEC, **sampling) -> Chat:
    chat = chat_of(spec, **sampling)
    list(chat.ask("hello"))
    return chat


def verdicts(chat: Chat) -> list[Verified]:
    return [each for each in verify(chat) if isinstance(each, Verified)]


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_every_drafter_gives_the_same_text_also_with_a_seed_that_nobody_chose(temperature):
    chat = asked(temperature=temperature)
    found = verdicts(chat)
    assert [(each.drafter, each.verdict) for each in found] == [
        (name, "identical") for name in DRAFTERS[1:]
    ]
    answer = [e for e in split_turns(chat.log.records)[0].events if isinstance(e, Step)]
    assert {each.tokens for each in found} == {sum(len(step.tokens) for step in answer)}
    assert next(each for each in found if each.drafter == "speculative").drafted > 0


def test_a_drafter_that_cannot_run_is_skipped_with_its_reason():
    found = {each.drafter: each for each in verdicts(asked(Spec(model="tiny")))}
    assert found["speculative"].verdict == "skipped"
    assert "native" in found["speculative"].reason
    assert found["suffix"].verdict == "identical"


def test_trials_leave_the_conversation_and_the_turns_as_they_were():
    chat = asked()
    before = chat.exchanges[-1].answer, len(chat.exchanges), chat.spec
    list(verify(chat))
    assert (chat.exchanges[-1].answer, len(chat.exchanges), chat.spec) == before
    turns = split_turns(chat.log.records)
    assert len(turns) == 1
    assert sum(isinstance(each, Stop) for each in turns[0].events) == 1
    list(chat.ask("and then"))
    again = conversation(chat.log.records, chat.spec, chat.sampling)
    assert [each.answer for each in again.exchanges] == [each.answer for each in chat.exchanges]
    assert sum(isinstance(each, Trial) for each in chat.log.records) == len(DRAFTERS)


def test_a_trial_asks_what_was_asked_not_what_came_of_it():
    chat = asked()
    first = chat.exchanges[-1].answer
    trial = attempt(chat, "verify", SPEC, last_sampling(chat))
    assert "".join(piece for step in trial.steps for piece in step.pieces) == first.rstrip(".")


def test_a_cancelled_trial_stops_all_and_the_chat_goes_on():
    chat = asked()
    steps = verify(chat)
    while not isinstance(next(steps), Verified):
        pass
    chat.engine.stream = _cancelled(chat)
    with pytest.raises(CancelledError):
        list(steps)
    del chat.engine.stream
    assert not chat.busy
    list(chat.ask("next"))
    assert chat.exchanges[-1].reason in ("stop", "length")


def _cancelled(chat: Chat):
    def stream(request):
        events = LocalEngine.stream(chat.engine, request)
        chat.cancel()
        return events

    return stream


def test_nothing_sent_nothing_tried():
    with pytest.raises(EngineError, match="Nothing was sent"):
        list(verify(chat_of()))


def test_a_trial_is_a_line_of_the_log():
    trial = Trial("verify", 3)
    assert from_line(to_line(trial, 4)) == trial


START = Start(0, (1,), 0, False, SPEC, Sampling())


def answered(tokens: tuple[int, ...], *margins: float) -> Attempt:
    steps = (Step(tokens, ("",) * len(tokens), 4, 2, 1),)
    metrics = TurnMetrics(drafted=4, accepted=2)
    return Attempt(START, tokens, margins or (1.0,) * len(tokens), steps, metrics)


def test_verdicts():
    plain = answered((1, 2, 3), 1.0, 0.004, 1.0)
    assert compare("x", plain, plain) == Verified("x", "identical", 3, 4, 2)
    near = compare("x", plain, answered((1, 9, 3), 1.0, 0.002, 1.0))
    assert (near.verdict, near.position, near.margin) == ("near-tie", 1, 0.004)
    far = compare("x", plain, answered((1, 9, 3), 1.0, 0.5, 1.0))
    assert (far.verdict, far.position, far.margin) == ("different", 1, 0.5)
    assert compare("x", plain, answered((1, 2))).verdict == "different"


def test_near_follows_the_dtype():
    wide = replace(SPEC, dtype="bfloat16")
    one, other = (
        replace(answered((t,), NEAR["bfloat16"] / 2), start=replace(START, spec=wide))
        for t in (1, 2)
    )
    assert compare("x", one, other).verdict == "near-tie"


def test_tuning_tells_every_gamma_and_leaves_the_chat_alone():
    chat = asked(replace(SPEC, drafter="speculative"))
    steps = tune(chat, (1, 3))
    while True:
        try:
            assert isinstance(next(steps), Progress)
        except StopIteration as done:
            points = done.value
            break
    assert [each.gamma for each in points] == [1, 3]
    for each in points:
        assert each.acceptance is not None
        assert each.acceptance > 0.5
        assert None not in (each.predicted, each.measured, each.decode_rate)
    assert points[1].mean_accepted_length > points[0].mean_accepted_length > 1
    assert len(split_turns(chat.log.records)) == 1


def test_plain_decoding_has_nothing_to_tune():
    with pytest.raises(EngineError, match="Plain decoding drafts nothing"):
        next(tune(asked()))


# in the chat


def told(chat: Chat, line: str) -> list[Said]:
    call = commands.parse(line)
    assert isinstance(call, Call)
    reply = commands.run(chat, call)
    assert reply.job, reply.text
    return list(reply.job())


def test_the_table_of_gammas_fills_and_a_chart_ends_it():
    chat = asked(replace(SPEC, drafter="speculative"))
    found = [each for each in told(chat, "/tune 1,3") if not isinstance(each, Progress)]
    *growing, last, chart = found
    assert all(isinstance(each, Live) for each in (*growing, last))
    assert growing[0].text.splitlines()[2].split() == ["γ", "3", "–", "–", "–×", "–×", "–"]
    assert last.text.endswith("Ask for a longer one.")  # of seven tokens nothing is advised
    assert chart.startswith("Speed-up over plain decoding by γ")
    assert len(chart.splitlines()) <= 15


def test_one_gamma_is_no_chart():
    found = told(asked(replace(SPEC, drafter="speculative")), "/tune 2")
    assert not [each for each in found if isinstance(each, str)]


def test_the_chart_has_what_was_measured_and_what_was_predicted():
    points = [
        Point(2, 0.5, 1.4, 1.2, 1.1, 44.0, 64),
        Point(4, 0.4, 1.6, 1.5, 1.3, 52.0, 64),
        Point(8, None, None, None, None, None, 0),
    ]
    chart = tune_chart(points)
    measured, predicted = chart.series
    assert (measured.xs, measured.ys) == ([2.0, 4.0, 8.0], [1.1, 1.3, None])
    assert (predicted.ys, predicted.computed) == ([1.2, 1.5, None], True)
    assert chart.best == (4, 1.3)


def test_where_texts_part_is_told_with_the_lead():
    near = Verified("x", "near-tie", 3, 4, 2, 1, 0.004)
    assert same_words(near) == "near-tie · from token 2 on, where the lead was 0.004"
    assert same_words(Verified("x", "identical", 3)) == "identical · 3 tokens"
    assert same_words(Verified("x", "different", 3)) == "different · it ended elsewhere"
