"""A server behind the engine's protocol."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tokenhud.engines import remote_kinds as kinds
from tokenhud.engines.events import Chunk, Event, Loaded, Progress, Scoring, Served, Start, Stop
from tokenhud.engines.options import OptionError, Spec
from tokenhud.engines.remote_address import root
from tokenhud.engines.remote_request import answered
from tokenhud.engines.remote_routing import Routed
from tokenhud.engines.remote_server import Server, discover, open_client
from tokenhud.sessions.metrics import turn_metrics

from .fakes import ScriptedEngine
from .streams import LLAMA_SERVER, RECORDED, last, piece, used
from .wire import CHAT, TEXT, Reply, Talk, end, models, said, stream, talk

WHOLE = Reply([stream(piece("Fine."), piece("", "stop"), last(used(5, 2)))])
OK = Reply([stream({"choices": [{"text": "ok", "finish_reason": "stop"}]})])
PROPS = {"default_generation_settings": {"n_ctx": 4096, "speculative": True}, "build_info": "b9"}


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        yield talking


def loaded(server: Talk, **changes: Any) -> Loaded:
    events = server.load(**changes)
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Loaded), events[-1]
    return events[-1]


def start(server: Talk, **changes: Any) -> Start:
    return next(event for event in server.send(WHOLE, **changes) if isinstance(event, Start))


def serve(server: Talk, kind: kinds.Kind, **more: Any) -> None:
    owner = next((each for each, known in kinds.OWNERS.items() if known is kind), "somebody")
    server.wire.answer("/v1/models", models("m", owner=owner, **more))


def test_an_answer_and_the_order_of_its_events(server: Talk) -> None:
    events = server.send(WHOLE)
    assert [type(event) for event in events] == [
        Progress,
        Loaded,
        Start,
        Chunk,
        Chunk,
        Served,
        Stop,
    ]
    assert said(events) == "Fine."
    assert end(events).reason == "stop"
    turn = turn_metrics(events)
    assert turn.completion_tokens == 2
    assert turn.adjusted_ttft_ns is None or turn.adjusted_ttft_ns < (turn.ttft_ns or 0)
    again = server.send()
    assert isinstance(again[0], Start)  # what is known is not asked again
    assert [each.cold for each in (events[2], again[0]) if isinstance(each, Start)] == [True, False]


@pytest.mark.parametrize("each", RECORDED, ids=lambda each: each.name)
def test_recorded_streams_over_the_wire(server: Talk, each: Any) -> None:
    serve(server, each.kind)
    events = server.send(Reply([each.data[:333], each.data[333:]]))
    assert said(events) == each.text
    assert turn_metrics(events).completion_tokens == each.served.completion_tokens


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://h:8000", "http://h:8000"),
        ("http://h:8000/", "http://h:8000"),
        ("http://h:8000/v1", "http://h:8000"),
        ("http://h:8000/v1/chat/completions", "http://h:8000"),
        ("https://h/openai/v1/", "https://h/openai"),
    ],
)
def test_an_address_with_or_without_what_stands_below_it(typed: str, meant: str) -> None:
    assert root(typed) == meant


@pytest.mark.parametrize("url", ["http://u:secret@h", "h:8000", "http://h?key=secret", "file:///h"])
def test_an_address_holds_no_secret_and_is_not_quoted(url: str) -> None:
    with pytest.raises(OptionError) as refused:
        Spec(url=url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "path", "about", "told"),
    [
        (kinds.VLLM, "/version", {"version": "0.33"}, "vLLM 0.33 answers."),
        (kinds.TENSORRT, "/version", {"version": "1.3"}, "TensorRT-LLM 1.3 answers."),
        (kinds.OLLAMA, "/api/version", {"version": "0.9"}, "Ollama 0.9 answers."),
        (
            kinds.SGLANG,
            "/server_info",
            {"version": "0.5", "speculative_algorithm": "EAGLE3", "tp_size": 2},
            "SGLang 0.5 runs with speculative_algorithm EAGLE3, tp_size 2.",
        ),
        (kinds.LLAMA_SERVER, "/props", PROPS, "llama-server b9 runs with speculative decoding on."),
    ],
)
def test_which_server_it_is_and_what_it_says_of_itself(
    server: Talk, kind: kinds.Kind, path: str, about: dict[str, Any], told: str
) -> None:
    serve(server, kind)
    server.wire.answer(path, about)
    assert loaded(server).notes[0] == told


@pytest.mark.parametrize(
    ("path", "about", "name"),
    [
        ("/props", PROPS, "llama-server"),
        ("/api/version", {"version": "0.9"}, "Ollama"),
        ("/server_info", {"model_path": "x", "version": "1"}, "SGLang"),
        ("/api/v0/models", {"data": []}, "LM Studio"),
        ("/openapi.json", {"paths": {"/load_model": {}}}, "transformers serve"),
        ("/openapi.json", {"paths": {"/v1/models": {}}}, "A server of unknown kind"),
        ("/nowhere", {}, "A server of unknown kind"),
    ],
)
def test_a_server_whose_models_tell_nothing_is_known_by_what_else_it_answers(
    server: Talk, path: str, about: dict[str, Any], name: str
) -> None:
    serve(server, kinds.UNKNOWN)
    server.wire.answer(path, about)
    assert loaded(server).notes[0].startswith(name)


def test_the_only_model_is_taken_where_none_was_named(server: Talk) -> None:
    server.wire.answer("/v1/models", models("org/one", owner="vllm", max_model_len=2048))
    found = loaded(server)
    assert (found.model.name, found.spec.model) == ("org/one", "org/one")
    assert found.spec.context == found.model.context == 2048
    assert found.model.sha256 == ""  # unknown


def test_ollamas_names_may_leave_out_the_latest(server: Talk) -> None:
    server.wire.answer("/v1/models", models("a:latest", "b", owner="library"))
    assert loaded(server, model="a").model.name == "a:latest"


def test_the_context_a_server_holds(server: Talk) -> None:
    serve(server, kinds.LLAMA_SERVER)
    server.wire.answer("/props", PROPS)
    assert loaded(server).spec.context == 4096


def test_what_is_asked_goes_over_the_wire_as_each_server_names_it(server: Talk) -> None:
    serve(server, kinds.LLAMA_SERVER)
    asked = {"temperature": 0.5, "top_k": 7, "repetition_penalty": 1.2, "seed": 3, "length": 9}
    used_ = start(server, sampling=asked)
    body = server.body()
    names = {"temperature": 0.5, "top_k": 7, "repeat_penalty": 1.2, "seed": 3, "max_tokens": 9}
    assert {name: body[name] for name in names} == names
    assert body["stream"] is True
    assert body["timings_per_token"] is True
    assert body["messages"] == [{"role": "user", "content": "Hello?"}]
    assert used_.sampling.top_k == 7
    assert used_.notes == ()


def test_what_a_server_does_not_take_is_told_and_not_sent(server: Talk) -> None:
    serve(server, kinds.OLLAMA)
    begun = start(server, sampling={"top_k": 7, "min_p": 0.1, "num_beams": 2, "temperature": 1.0})
    assert "Ollama takes no top_k, min_p, num_beams from outside." in begun.notes
    assert "top_k" not in server.body()
    assert (begun.sampling.top_k, begun.sampling.num_beams) == (0, 1)
    assert begun.sampling.seed == server.body()["seed"]  # drawn here, so that the log knows it


def test_sglang_switches_top_k_off_its_own_way(server: Talk) -> None:
    serve(server, kinds.SGLANG)
    start(server)
    assert server.body()["top_k"] == -1


def test_a_server_that_takes_only_what_it_knows_is_sent_no_more(server: Talk) -> None:
    serve(server, kinds.UNKNOWN)
    server.wire.answer("/openapi.json", {"paths": {"/load_model": {}}})
    start(server, spec={"model": "any/model"})
    known = {"model", "messages", "stream", "temperature", "top_p", "seed", "max_tokens"}
    assert set(server.body()) == known


def test_what_only_a_restart_changes_is_told_once_with_its_flag(server: Talk) -> None:
    serve(server, kinds.VLLM)
    fixed = {"drafter": "suffix", "gamma": 6}
    (note,) = start(server, spec=fixed).notes
    assert "since vLLM decides when it starts: drafter suffix (--speculative-config)" in note
    assert start(server, spec=fixed).notes == ()
    assert start(server, spec=fixed | {"gamma": 7}).notes != ()
    assert start(server, spec=fixed).spec.drafter == "plain"  # nothing is claimed of the server


def test_a_fresh_request_passes_the_prefix_cache_by(server: Talk) -> None:
    serve(server, kinds.VLLM)
    start(server, fresh=True)
    salt = server.body()["cache_salt"]
    start(server, fresh=True)
    assert salt
    assert server.body()["cache_salt"] != salt
    serve(server, kinds.LLAMA_SERVER)
    server.load()
    start(server, fresh=True)
    assert server.body()["cache_prompt"] is False
    serve(server, kinds.OLLAMA)
    server.load()
    assert any("prefix cache" in note for note in start(server, fresh=True).notes)


def test_a_prompt_of_exactly_so_many_tokens(server: Talk) -> None:
    serve(server, kinds.VLLM)
    server.wire.answer("/tokenize", {"tokens": [1, 2, 3]}, {"tokens": [1, 2, 3, 9, 1, 2, 3]})
    server.wire.answer(TEXT, OK)
    events = list(server.engine.stream(server.request(exact=5)))
    assert said(events) == "ok"
    assert server.wire.bodies(TEXT)[0]["prompt"] == [1, 2, 3, 9, 1]
    serve(server, kinds.OLLAMA)
    server.load()
    assert "exact length" in end(server.send(exact=5)).what
    serve(server, kinds.LLAMA_SERVER)
    server.load()
    server.wire.answer("/tokenize", {"tokens": []})
    assert "no tokens" in end(server.send(exact=5)).what


def test_a_server_without_a_chat_completes_the_conversation(server: Talk) -> None:
    serve(server, kinds.UNKNOWN)
    server.wire.answer(TEXT, OK)
    events = server.send()
    assert said(events) == "ok"
    assert server.wire.bodies(TEXT)[0]["prompt"] == "user: Hello?\nassistant:"
    begun = next(event for event in events if isinstance(event, Start))
    assert any("no chat" in note for note in begun.notes)


def test_cancel_closes_the_connection_at_once_and_keeps_what_came(server: Talk) -> None:
    server.load()
    server.wire.answer(CHAT, Reply([stream(piece("So f"), end="")], hangs=True))
    events = []
    for event in server.engine.stream(server.request()):
        events.append(event)
        if isinstance(event, Chunk):
            threading.Thread(target=server.engine.cancel).start()
    assert end(events).reason == "cancelled"
    assert said(events) == "So f"
    assert server.wire.gone.wait(5)
    assert said(server.send(WHOLE)) == "Fine."


def test_a_reader_that_leaves_closes_the_connection(server: Talk) -> None:
    server.load()
    server.wire.answer(CHAT, Reply([stream(piece("So f"), end="")], hangs=True))
    events = server.engine.stream(server.request())
    while not isinstance(next(events), Chunk):
        pass
    events.close()  # type: ignore[attr-defined]
    assert server.wire.gone.wait(5)


def test_loading_asks_anew_since_the_server_may_have_been_started_anew(server: Talk) -> None:
    serve(server, kinds.VLLM)
    assert loaded(server).notes[0].startswith("vLLM")
    serve(server, kinds.SGLANG)
    assert loaded(server).notes[0].startswith("SGLang")


def test_a_text_cannot_be_judged_there(server: Talk) -> None:
    (stop,) = server.engine.score(Scoring((1,), (2,), server.spec))
    assert isinstance(stop, Stop)
    assert stop.reason == "error"


def test_the_keys_source_is_told_and_never_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with talk() as server:
        monkeypatch.setenv("TOKENHUD_API_KEY", "sk-secret")
        found = loaded(server)
        assert "Its key comes from TOKENHUD_API_KEY." in found.notes
        assert "sk-secret" not in repr([found, server.send(WHOLE), server.engine._server])


def test_a_server_takes_turns_with_this_machine_which_gives_its_memory_back(server: Talk) -> None:
    local = ScriptedEngine()
    routed = Routed(local, lambda: server.engine)
    here, there = Spec(), server.spec
    assert isinstance(list(routed.load(here))[-1], Loaded)
    assert not local.closed
    assert isinstance(list(routed.load(there))[-1], Loaded)
    assert local.closed
    server.wire.answer(CHAT, WHOLE)
    assert said(list(routed.stream(server.request()))) == "Fine."
    local.closed = False
    assert isinstance(list(routed.load(here))[-1], Loaded)
    assert server.engine._server is None
    routed.cancel()
    routed.close()
    assert local.closed


def test_progress_of_the_prompt_comes_before_the_first_piece(server: Talk) -> None:
    serve(server, kinds.LLAMA_SERVER)
    names = [type(event).__name__ for event in server.send(Reply([LLAMA_SERVER.data]))]
    assert names.index("Prefill") < names.index("Chunk")


def test_one_connection_serves_one_answer_after_the_other(server: Talk) -> None:
    server.load()
    for _ in range(3):
        assert said(server.send(WHOLE)) == "Fine."
    assert len(server.wire.ports) == 1


def test_what_follows_the_end_of_an_answer_is_not_waited_for(server: Talk) -> None:
    assert end(server.send(Reply([stream(piece("ok", "stop"))], silent=True))).reason == "stop"
    trailing = Reply([stream(piece("Fine."), piece("", "stop")), b"data: after the end\n\n"])
    assert said(server.send(trailing)) == "Fine."


def test_any_number_of_requests_may_run_at_a_time(server: Talk) -> None:
    server.wire.answer(CHAT, WHOLE)

    async def one(client: httpx.AsyncClient, there: Server) -> list[Event]:
        request = server.request(spec={"drafter": "suffix"})
        return [each async for each in answered(client, there, request, alone=False)]

    async def load() -> list[list[Event]]:
        async with open_client(server.spec.url) as client:
            there = await discover(client, server.spec)
            return await asyncio.gather(*(one(client, there) for _ in range(8)))

    turns = [turn_metrics(events) for events in asyncio.run(load())]
    assert [each.completion_tokens for each in turns] == [2] * 8
    assert all(each.ttft_ns for each in turns)


def test_proxies_of_the_environment_are_used_but_where_it_says_not_to(
    server: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = "http://far.invalid:8000"
    server.wire.answer(f"{far}/v1/models", models("far", owner="me"))
    monkeypatch.setenv("HTTP_PROXY", server.wire.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert loaded(server, url=far).model.name == "far"
    assert loaded(server).model.name == "m"


def test_the_keyring_may_hold_a_key_and_may_be_broken(
    server: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = server.wire.url.removeprefix("http://")
    kept = {("tokenhud", place): "sk-kept"}
    ring = SimpleNamespace(get_password=lambda *names: kept.get(names))
    monkeypatch.setitem(sys.modules, "keyring", ring)
    assert "Its key comes from the keyring." in loaded(server).notes
    assert server.wire.asked[-1][1]["Authorization"] == "Bearer sk-kept"
    ring.get_password = lambda *_: 1 / 0
    assert not any("key" in note for note in loaded(server).notes)


def test_names_that_are_none_are_passed_over(server: Talk) -> None:
    entries = [{"id": each} for each in ("", 7, None, "x" * 1000, "a\x1b[1m")]
    server.wire.answer("/v1/models", {"data": [*entries, "odd", {"id": "m", "owned_by": "me"}]})
    assert loaded(server).model.name == "m"
