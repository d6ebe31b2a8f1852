"""A chat with a server: the same conversation, log, HUD and plain output as with this machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenhud.engines import remote_kinds as kinds
from tokenhud.engines.events import EngineError, Message
from tokenhud.engines.options import Sampling
from tokenhud.sessions import figures
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.encoding import from_line, to_line
from tokenhud.sessions.log import Log
from tokenhud.sessions.metrics import turn_metrics
from tokenhud.sessions.summary import split_turns
from tokenhud.sessions.tune import tune
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.chat.readings import Readings
from tokenhud.tui.headless.plain import say

from .fakes import ScriptedEngine
from .streams import COUNTING, PLAIN, piece
from .test_tui_flow import Table
from .wire import CHAT, Reply, Talk, models, stream, talk

BROKEN = Reply([stream(piece("Half an"), end="")])


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        talking.wire.answer("/v1/models", models("m", owner="vllm", max_model_len=4096))
        yield talking


@pytest.fixture
def chat(server: Talk) -> Chat:
    spec, sampling = server.spec, Sampling()
    return Chat(server.engine, Log.in_memory(header(spec, sampling)), spec, sampling)


def answered(server: Talk, chat: Chat, *replies: Reply) -> None:
    for reply in replies:
        server.wire.answer(CHAT, reply)
        list(chat.ask("And?"))


def test_the_conversation_goes_on_with_what_the_server_said(server: Talk, chat: Chat) -> None:
    answered(server, chat, Reply([COUNTING.data]), BROKEN, Reply([PLAIN.data]))
    assert [each.answer for each in chat.exchanges] == [COUNTING.text, "Half an", PLAIN.text]
    assert [each.reason for each in chat.exchanges] == ["length", "error", "stop"]
    sent = [message["content"] for message in server.body()["messages"]]
    assert sent == ["And?", COUNTING.text, "And?", "Half an", "And?"]
    assert chat.messages()[1] == Message("assistant", COUNTING.text)


def test_the_log_brings_the_figures_back(server: Talk, chat: Chat) -> None:
    answered(server, chat, Reply([COUNTING.data]), Reply([PLAIN.data]))
    again = [from_line(to_line(each, seq)) for seq, each in enumerate(chat.log.records)]
    assert again == list(chat.log.records)
    kept = [turn_metrics(each.events) for each in split_turns(again)]
    assert [each.completion_tokens for each in kept] == [8, 4]
    assert [each.drafted for each in kept] == [8, 0]


def test_a_trial_on_a_server_leaves_the_conversation_alone(server: Talk, chat: Chat) -> None:
    answered(server, chat, Reply([PLAIN.data]))
    server.wire.answer(CHAT, Reply([COUNTING.data]))
    list(chat.attempt("race", chat.spec, chat.sampling))
    assert [each.answer for each in chat.exchanges] == [PLAIN.text]
    assert len(Readings.of(chat.log.records).meter.metrics().gaps) == 0


def test_the_hud_shows_what_the_server_tells_and_no_settings_it_has_not(
    server: Talk, chat: Chat
) -> None:
    chat.set("gamma", 9)
    answered(server, chat, Reply([COUNTING.data]))
    readings = Readings.of(chat.log.records)
    assert readings.context == 4096
    assert readings.used(readings.meter.metrics()) == 38
    assert readings.pending(chat.spec, chat.sampling) == []
    assert figures.method(readings.spec(chat.spec)) == "the server's own"
    answered(server, chat, Reply([PLAIN.data]))
    assert readings.prefill is None


def test_plain_output_has_the_answer_and_both_times_to_the_first_token(
    server: Talk, chat: Chat
) -> None:
    server.wire.answer(CHAT, Reply([stream(piece("a\x1b[31mb"), piece("", "stop"))]))
    out, err = io.StringIO(), io.StringIO()
    assert say(chat, "Hello", out, err)
    assert out.getvalue() == "a\N{REPLACEMENT CHARACTER}[31mb\n"
    assert "– tok · – tok/s · TTFT" in err.getvalue()
    assert "without the network" in err.getvalue()


def test_the_draft_length_of_a_server_is_not_tuned_from_here(chat: Chat) -> None:
    chat.set("drafter", "suffix")
    with pytest.raises(EngineError, match="running server"):
        next(tune(chat))


def test_an_address_goes_into_the_log_and_a_key_does_not(
    server: Talk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKENHUD_API_KEY", "sk-secret")
    spec, sampling = server.spec, Sampling()
    log = Log.create(tmp_path, header(spec, sampling))
    chat = Chat(server.engine, log, spec, sampling)
    list(chat.load())
    answered(server, chat, Reply([COUNTING.data]), BROKEN)
    log.close()
    (path,) = tmp_path.rglob("*.jsonl")
    text = path.read_text()
    assert server.wire.url in text
    assert "sk-secret" not in text


async def test_the_screen_shows_the_answer_and_once_why_figures_are_absent(
    server: Talk, chat: Chat
) -> None:
    app = TokenhudApp(chat)
    async with app.run_test(size=(120, 40)) as pilot:
        server.wire.answer(CHAT, Reply([PLAIN.data]))
        at = Table(app, pilot, ScriptedEngine())
        for question in ("One?", "Two?"):
            await at.type(question)
            await at.rest()
        assert at.shown.count(PLAIN.text) == 2
        assert at.shown.count("without the network") == 2
        assert at.shown.count("--enable-prompt-tokens-details") == 1


def test_why_a_figure_is_absent_is_part_of_the_log(server: Talk, chat: Chat) -> None:
    answered(server, chat, Reply([PLAIN.data]))
    turn = turn_metrics(split_turns(chat.log.records)[0].events)
    assert turn.served is not None
    assert any(kinds.VLLM.absent["cached_tokens"] in note for note in turn.served.notes)
