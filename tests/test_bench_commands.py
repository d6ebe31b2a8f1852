from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.events import EngineError, Event, Loaded, Progress, Request, Stop
from tokenhud.engines.options import DRAFTERS, Spec
from tokenhud.sessions.bench.result import read_result
from tokenhud.sessions.chat import Chat
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Live, Reply, Said

from .fakes import ScriptedEngine, chat_with, words

SAID = "Some words come back."


class Swapping(ScriptedEngine):
    """Tells of each load; `held` is what it has."""

    held: object = None
    cancel_in = 0  # the request in which a person presses Esc
    refused = ""  # the quantisation that it has no room for
    fast = ""  # the quantisation that runs twice as fast

    def load(self, spec: Spec) -> Iterator[Event]:
        self.held = replace(spec, drafter="plain")
        yield from super().load(spec)

    def stream(self, request: Request) -> Iterator[Event]:
        if replace(request.spec, drafter="plain") != self.held:
            yield from self.load(request.spec)
        if request.spec.quantize == self.refused:
            yield Stop(0, "error", what=f"No room for {self.refused}.", remedy="Free some.")
            return
        self._scripts = [words(SAID, 12.5 if request.spec.quantize == self.fast else 25.0)]
        for event in super().stream(request):
            yield event
            if len(self.requests) == self.cancel_in:
                self.cancel()


def undrawn(*_: object) -> Path:
    """Pictures are as where matplotlib is not there."""
    raise EngineError("No matplotlib.")


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tokenhud.sessions.bench.running.IDLE", 0.0)
    monkeypatch.setattr("tokenhud.sessions.bench.written.draw_file", undrawn)
    chat = chat_with(Swapping(words(SAID)), tmp_path / "home" / "sessions")
    list(chat.ask("Hello there."))
    return chat


def typed(chat: Chat, line: str) -> Reply:
    call = commands.parse(line)
    assert isinstance(call, Call), call
    return commands.run(chat, call)


def told(chat: Chat, line: str) -> list[Said]:
    reply = typed(chat, line)
    assert reply.ok, reply.text
    assert reply.job
    return list(reply.job())


def said(chat: Chat, line: str) -> str:
    return "\n".join(each for each in told(chat, line) if isinstance(each, str))


def kept(text: str) -> Path:
    return Path(text.rpartition("Kept in ")[2].strip())


def test_bench_runs_the_method_in_use_beside_plain_decoding(chat):
    typed(chat, "/suffix")
    found = read_result(kept(said(chat, "/bench code rewrite")))
    assert found.methods == ("plain", "suffix")
    assert found.case_names == ("code", "rewrite")
    assert len(found.measured) == 2 * 2 * 3


def test_methods_stand_after_with_between_commas(chat):
    found = read_result(kept(said(chat, "/bench code with plain, ngram gamma=2")))
    assert found.methods == ("plain", "ngram gamma=2")


def test_progress_tells_how_far_it_is(chat):
    steps = [each for each in told(chat, "/bench code") if isinstance(each, Progress)]
    assert [(each.done, each.total) for each in steps] == [(n, 4) for n in range(4)]
    assert steps[0].stage.startswith("plain · code · 1 of 4")


def test_replay_asks_this_chat_again(chat):
    found = read_result(kept(said(chat, "/replay with recorded, suffix")))
    assert found.case_names == ("turn 1",)
    assert found.methods == ("recorded", "suffix")


def test_compare_gives_a_verdict_on_the_second_method(chat):
    text = said(chat, "/compare plain, suffix")
    assert "Verdict: pass" in text


def test_a_sweep_has_a_method_for_each_value(chat):
    found = read_result(kept(said(chat, "/sweep length 2,3 code")))
    assert found.methods == ("length=2", "length=3")
    assert [len(found.of("code", each)) for each in found.methods] == [3, 3]


def test_a_benchmark_leaves_the_conversation_as_it_was(chat):
    before, records = chat.exchanges[:], len(chat.log.records)
    said(chat, "/bench code")
    assert chat.exchanges == before
    assert len(chat.log.records) == records
    list(chat.ask("And now?"))
    assert [each.content for each in chat.engine.requests[-1].messages][-1] == "And now?"


def test_what_the_chat_uses_is_loaded_again_after_other_weights(chat):
    said(chat, "/bench code with plain, int8")
    loads = [each for each in chat.log.records if isinstance(each, Loaded)]
    assert loads[-1].spec.quantize == "none"
    assert len(loads) == 2


def test_esc_ends_a_benchmark(chat):
    chat.engine.cancel_in = 4
    assert "Cancelled; what was measured is kept in" in said(chat, "/bench code rewrite")
    assert len(chat.engine.requests) == 4


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/bench S9", "There is no prompt S9"),
        ("/bench code with sufix", "Did you mean suffix?"),
        ("/sweep gamma 2,4 code", "Plain decoding drafts nothing"),
        ("/sweep gama 2 code", "Did you mean gamma?"),
        ("/compare plain", "It is /compare quant, or /compare A, B"),
        ("/replay nothing", "There is no session nothing"),
    ],
)
def test_what_is_mistyped_is_told_before_anything_runs(chat, line, sentence):
    asked = len(chat.engine.requests)
    reply = typed(chat, line)
    assert not reply.ok
    assert sentence in reply.text
    assert len(chat.engine.requests) == asked


def test_a_report_of_all_results(chat):
    assert "No result is kept yet" in said(chat, "/report")
    said(chat, "/bench code")
    assert "1 result in" in said(chat, "/report")


# what fills, and what stands at the end


def live(chat: Chat, line: str) -> list[str]:
    return [each.text for each in told(chat, line) if isinstance(each, Live)]


def rows(table: str) -> dict[str, str]:
    return {line.split()[0]: line for line in table.splitlines() if line}


def test_a_table_fills_answer_by_answer(chat):
    found = live(chat, "/bench code rewrite with plain, suffix runs=2")
    assert len(found) == 2 * 2 * 3  # warm-ups too
    assert found[0].startswith("So far, 1 of 12 answers")
    assert rows(found[3])["plain"].split()[1:] == ["–", "–", "–", "1"]
    assert rows(found[4])["plain"].split()[1:] == ["40.0", "–", "40.0", "1"]
    assert rows(found[-1])["suffix"].split()[1:] == ["40.0", "40.0", "40.0", "1.00"]


@pytest.mark.parametrize("line", ["/bench code with plain, suffix", "/sweep gamma 2,4 with suffix"])
def test_a_chart_ends_it(chat, line):
    chart = next(each for each in reversed(told(chat, line)[:-1]) if isinstance(each, str))
    assert chart.startswith("Decode")
    assert len(chart.splitlines()) <= 15
    assert max(map(len, chart.splitlines())) <= 60


def test_runs_is_how_many_passes(chat):
    found = read_result(kept(said(chat, "/bench code with plain, suffix runs=1")))
    assert len(found.measured) == 2
    assert "runs takes a whole number" in typed(chat, "/bench code runs=0").text


def test_compare_alone_takes_every_drafter_and_every_form_of_the_weights(chat):
    *_, table, verdict, where = [
        each.text if isinstance(each, Live) else str(each) for each in told(chat, "/compare")
    ]
    found = read_result(kept(where))
    assert found.methods == (*DRAFTERS, "bf16", "int8", "int4", "nf4", "llama.cpp")
    assert set(found.methods) < rows(table).keys()
    assert "1.00 (1.00–1.00)" in rows(table)["int8"]
    assert "None is faster than plain beyond noise" in verdict
    assert found.case_names == ("turn 1",)


def test_compare_asks_the_last_message_after_all_that_was_said(chat):
    list(chat.ask("And then?"))
    said(chat, "/compare runs=1")
    request = chat.engine.requests[-1]
    assert [each.content for each in request.messages] == [
        "Hello there.",
        "Some words come back.",
        "And then?",
    ]


def test_what_cannot_run_is_told_once_with_its_reason(chat):
    chat.engine.refused = "int8"
    table = live(chat, "/compare runs=1")[-1]
    assert "int8 is left out: No room for int8. Free some." in table
    assert "int8" not in rows(table)["bf16"]
    assert sum(line.startswith("int8 ") for line in table.splitlines()) == 1


def test_the_fastest_of_all_is_told_with_the_line_that_sets_it(chat):
    chat.engine.fast = "int4"
    text = said(chat, "/compare")
    assert "Fastest here: int4, 2.00 (2.00–2.00) times plain; /quantize int4 sets it." in text
    assert "other words" in text


def test_esc_keeps_what_was_compared_so_far(chat):
    chat.engine.cancel_in = 20
    found = told(chat, "/compare")
    assert isinstance([each for each in found if not isinstance(each, Progress)][-2], Live)
    assert "Cancelled; what was measured is kept in" in str(found[-1]) + str(found[-2])


def test_compare_alone_needs_weights_here(tmp_path):
    chat = chat_with(ScriptedEngine(), tmp_path, Spec(url="http://127.0.0.1:9"))
    assert "needs weights on this machine" in typed(chat, "/compare").text
