from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.events import Event, Loaded, Progress, Request
from tokenhud.engines.options import Spec
from tokenhud.sessions.bench.result import read_result
from tokenhud.sessions.chat import Chat
from tokenhud.tui import commands
from tokenhud.tui.grammar import Call, Reply, Said

from .fakes import ScriptedEngine, chat_with, words


class Swapping(ScriptedEngine):
    """Tells of each load; `held` is what it has."""

    held: object = None
    cancel_in = 0  # the request in which a person presses Esc

    def load(self, spec: Spec) -> Iterator[Event]:
        self.held = replace(spec, drafter="plain")
        yield from super().load(spec)

    def stream(self, request: Request) -> Iterator[Event]:
        if replace(request.spec, drafter="plain") != self.held:
            yield from self.load(request.spec)
        for event in super().stream(request):
            yield event
            if len(self.requests) == self.cancel_in:
                self.cancel()


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tokenhud.sessions.bench.running.IDLE", 0.0)
    chat = chat_with(Swapping(words("Some words come back.")), tmp_path / "home" / "sessions")
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
