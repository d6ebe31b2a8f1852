from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tokenhud.engines.events import EngineError, Event, Request, Start
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.experiment import Doing, Experiment, LeftOut, Told, finished_passes
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case, Plan, messages, options
from tokenhud.sessions.bench.recorder import Recorder
from tokenhud.sessions.bench.replaying import replay
from tokenhud.sessions.bench.result import read_result, result
from tokenhud.sessions.bench.runs import Run
from tokenhud.sessions.records import Record
from tokenhud.sessions.trials import CancelledError

from .fakes import ScriptedEngine, chat_with, words

CASES = (Case("one", "First words."), Case("two", "Second words."))
PLAN = Plan("bench", methods(["plain", "suffix"]), Spec(), Sampling(), runs=3, warmup=1)


def run(
    engine: ScriptedEngine, plan: Plan = PLAN, cases: tuple[Case, ...] = CASES, **more: object
) -> tuple[list[Record], list[Told]]:
    records: list[Record] = [plan, *cases]
    told = list(Experiment(engine, plan, cases, records.append, **more).run())  # type: ignore[arg-type]
    return records, told


def order(told: list[Told]) -> list[tuple[str, str, int, bool]]:
    return [
        (each.method, each.case, each.number, each.warmup) for each in told if isinstance(each, Run)
    ]


def test_methods_take_turns_and_each_second_pass_the_other_way_round():
    _, told = run(ScriptedEngine(words("Hello there.")))
    passes = [(method, number) for method, case, number, _ in order(told) if case == "one"]
    assert passes == [
        ("plain", 0),
        ("suffix", 0),
        ("plain", 1),
        ("suffix", 1),
        ("suffix", 2),
        ("plain", 2),
        ("plain", 3),
        ("suffix", 3),
    ]


def test_warm_ups_are_recorded_and_in_no_figure():
    records, _ = run(ScriptedEngine(words("a b", ms=500), words("a b", ms=500), words("a b")))
    found = result(records)
    assert len(found.answers) == 16
    assert len(found.measured) == 12
    assert found.values("decode_tps", "one", "plain") == pytest.approx([40, 40, 40])


def test_a_conversation_begins_with_nothing_held_and_goes_on_with_what_is():
    chat = (
        Case("one", "Hello.", reply="Hi."),
        Case("two", "More.", after=0, reply="Yes."),
        Case("other", "Anew."),
    )
    engine = ScriptedEngine()
    run(engine, replace(PLAN, methods=PLAN.methods[:1], runs=1, warmup=0), chat)
    assert [each.fresh for each in engine.requests] == [True, False, True]
    said = [[each.content for each in request.messages] for request in engine.requests]
    assert said == [["Hello."], ["Hello.", "Hi.", "More."], ["Anew."]]


class Failing(ScriptedEngine):
    """Plain decoding can't answer the second case."""

    def stream(self, request: Request) -> Iterator[Event]:
        fails = request.spec.drafter == "plain" and request.messages[-1].content == CASES[1].text
        self._scripts = [[EngineError("No.", "Do.")] if fails else words("a b")]
        return super().stream(request)


def test_a_method_that_cannot_answer_is_left_out_of_later_passes_and_the_rest_goes_on():
    records, told = run(Failing())
    left_out = [each for each in told if isinstance(each, LeftOut)]
    assert left_out == [LeftOut("plain", "two", "No. Do.")] * 2
    found = result(records)
    assert [each.case for each in found.of("two", "plain")] == []
    assert len(found.of("one", "plain")) == len(found.of("two", "suffix")) == 3
    assert len(found.totals("decode_tps", "plain")) == 3
    assert found.failures[0].why == "No. Do."


def test_other_weights_are_warmed_up_whenever_they_are_loaded():
    plan = replace(PLAN, methods=methods(["plain", "int8"]), warmup=1, runs=2)
    _, told = run(ScriptedEngine(), plan, CASES[:1])
    assert [(method, number) for method, _, number, _ in order(told)] == [
        ("plain", 0),
        ("int8", 0),
        ("plain", 0),
        ("plain", 1),
        ("int8", 0),
        ("int8", 1),
        ("int8", 2),
        ("plain", 0),
        ("plain", 2),
    ]


def test_a_value_out_of_range_for_this_case_is_a_failure_of_it_alone():
    cases = (CASES[0], replace(CASES[1], changes={"length": 0}))
    records, told = run(ScriptedEngine(), cases=cases)
    assert {each.case for each in told if isinstance(each, LeftOut)} == {"two"}
    assert "length is a whole number" in result(records).failures[0].why


def test_time_left_follows_from_what_answers_took():
    ticks = iter(range(0, 10**12, 10**9))
    _, told = run(ScriptedEngine(), clock=lambda: next(ticks))
    doing = [each for each in told if isinstance(each, Doing)]
    assert doing[0].left is None
    assert [each.left for each in doing[1:]] == [16.0 - each.done for each in doing[1:]]


def test_cancelling_ends_it_and_a_later_sitting_does_what_is_left(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    recorder = Recorder(path, new=True)
    for record in (PLAN, *CASES):
        recorder.append(record)
    engine = ScriptedEngine()

    def interrupted() -> None:
        seen = 0
        for each in Experiment(engine, PLAN, CASES, recorder.append).run():
            seen += isinstance(each, Run)
            if seen == 9 and isinstance(each, Start):
                engine.cancel()

    with pytest.raises(CancelledError):
        interrupted()
    recorder.close()

    before = read_result(path)
    recorder = Recorder(path, new=False)
    done = {(each.method, each.number) for each in before.measured if each.case == "two"}
    again = ScriptedEngine()
    list(Experiment(again, PLAN, CASES, recorder.append, done).run())
    recorder.close()
    after = read_result(path)
    assert {(each.method, each.number) for each in after.measured} == {
        (method, number) for method in ("plain", "suffix") for number in (1, 2, 3)
    }
    assert len(again.requests) < 16
    numbers = [int(line.split(":")[1].split(",")[0]) for line in path.read_text().splitlines()]
    assert all(b == a + 1 for a, b in pairwise(numbers))


def test_passes_that_were_cut_off_are_not_finished():
    plan = replace(PLAN, runs=2)
    _, told = run(ScriptedEngine(), plan)
    whole = [each for each in told if isinstance(each, Run)]
    assert finished_passes(plan, CASES, whole) == {
        (method, number) for method in ("plain", "suffix") for number in (1, 2)
    }
    assert finished_passes(plan, CASES, whole[:-1]) == {
        ("plain", 1),
        ("suffix", 1),
        ("suffix", 2),
    }


def test_a_method_that_can_answer_nothing_is_given_up_and_done_with():
    plan = replace(PLAN, methods=PLAN.methods[:1])
    _, told = run(ScriptedEngine([EngineError("No.", "Do.")]), plan)
    whole = [each for each in told if isinstance(each, Run)]
    assert len(whole) == 2 * 2  # two cases, twice each
    assert len(finished_passes(plan, CASES, whole)) == 3


def test_one_failure_is_tried_again():
    records, _ = run(ScriptedEngine(words("a b"), [EngineError("No.", "Do.")], words("a b")))
    found = result(records)
    assert [len(found.of(case, "plain")) for case in ("one", "two")] == [3, 3]


def test_a_chat_becomes_the_cases_that_ask_the_same_again(tmp_path: Path):
    engine = ScriptedEngine(words("One two."), words("Three."), words("Four."), words("Five."))
    chat = chat_with(engine, tmp_path)
    list(chat.ask("First?"))
    chat.set("drafter", "suffix")
    list(chat.ask("Second?"))
    chat.undo()
    chat.set("system", "Be brief.")
    list(chat.ask("/quit"))
    chat.clear()
    list(chat.ask("Last?"))
    chat.close()

    said = replay(chat.log.records)
    plan = Plan("replay", methods(["recorded"]), said.spec, said.sampling)
    asked = [
        (messages(said.cases, at), *options(plan, case, plan.methods[0]))
        for at, case in enumerate(said.cases)
    ]
    there = [(each.messages, each.spec, replace(each.sampling, seed=0)) for each in engine.requests]
    assert asked == there
    assert [each.name for each in said.cases] == ["turn 1", "turn 2", "turn 3", "turn 4"]


def test_a_cancelled_turn_is_history_and_no_case(tmp_path: Path):
    engine = ScriptedEngine(words("One two three."), words("Four."))
    chat = chat_with(engine, tmp_path)
    for seen, _ in enumerate(chat.ask("First?")):
        if seen == 3:
            chat.cancel()
    list(chat.ask("Second?"))
    said = replay(chat.log.records)
    assert [each.skip for each in said.cases] == [True, False]
    assert messages(said.cases, 1) == engine.requests[1].messages


def test_a_chat_without_an_answer_cannot_be_replayed(tmp_path: Path):
    chat = chat_with(ScriptedEngine([EngineError("No.")]), tmp_path)
    list(chat.ask("Hello?"))
    with pytest.raises(EngineError, match="no answer that came to its end"):
        replay(chat.log.records)


def test_weights_that_change_within_a_pass_are_warmed_up_there():
    """As in a chat whose person changed them between two turns."""
    cases = (CASES[0], replace(CASES[1], changes={"quantize": "int8"}))
    plan = replace(PLAN, methods=methods(["recorded"]), runs=2, warmup=1)

    class Loading(ScriptedEngine):
        loaded = ""

        def load(self, spec: Spec) -> Iterator[Event]:
            self.loaded, self.requests = spec.quantize, []  # the next answer is cold
            yield from super().load(spec)

        def stream(self, request: Request) -> Iterator[Event]:
            assert self.loaded == request.spec.quantize
            return super().stream(request)

    records, told = run(Loading(), plan, cases)
    found = result(records)
    assert [len(found.of(case, "recorded")) for case in ("one", "two")] == [2, 2]
    assert all(each.done < each.total for each in told if isinstance(each, Doing))
