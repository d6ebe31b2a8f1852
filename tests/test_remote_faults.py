"""What goes wrong with a server: one sentence, what came is kept, the next message works."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError, Loaded, Start, Stop
from tokenhud.engines.options import Spec
from tokenhud.engines.remote_kinds import OWNERS
from tokenhud.engines.remote_server import Server, discover

from .streams import piece
from .test_remote_reading import odd_values, places, spoilt
from .wire import CHAT, Reply, Talk, as_json, end, models, said, stream, talk

WHOLE = Reply([stream(piece("Fine."), piece("", "stop"))])
HALF = stream(piece("Half an"), end="")


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        yield talking


def fails(server: Talk, *replies: Reply) -> Stop:
    """The sentence of a fault, after which the next message works."""
    events = server.send(*replies, WHOLE)
    stop = end(events)
    assert stop.reason == "error"
    assert stop.what
    assert stop.what.count("\n") == 0
    assert len(stop.what) < 300
    after = server.send()
    assert said(after) == "Fine."
    assert end(after).reason == "stop"
    return stop


@pytest.mark.parametrize(
    ("status", "body", "what", "remedy"),
    [
        (401, {"detail": "Invalid API key"}, "wants a key", "TOKENHUD_API_KEY"),
        (403, {"error": {"message": "no"}}, "does not take the key (403): no", "TOKENHUD_API_KEY"),
        (404, {"error": {"message": "The model `m` does not exist."}}, "no such model", "/model"),
        (404, {"detail": "Not Found"}, "has no chat there", "address"),
        (400, {"message": "maximum context length is 4096 tokens"}, "does not fit", "/undo"),
        (400, {"error": {"message": "the request exceeds the available context size"}}, "fit", "/"),
        (422, {"detail": [{"msg": "field"}]}, "The server refused (422)", "Change"),
        (500, {"error": "boom"}, "The server failed (500): boom", "again"),
        (503, {"error": {"message": "loading model"}}, "(503): loading model", "again"),
        (307, {}, "leads elsewhere (307)", "address"),
    ],
)
def test_a_refusal_says_what_the_server_said(
    server: Talk, status: int, body: object, what: str, remedy: str
) -> None:
    stop = fails(server, as_json(body, status, location="http://127.0.0.1:1/"))
    assert what in stop.what
    assert remedy in stop.remedy


@pytest.mark.parametrize(
    ("after", "remedy"), [("7", "Send in 7 s."), ("", "Send later."), ("soon", "Send after soon.")]
)
def test_too_many_requests_are_told_and_not_slept_through(
    server: Talk, after: str, remedy: str
) -> None:
    headers = {"retry-after": after} if after else {}
    stop = fails(server, as_json({"error": "slow down"}, 429, **headers))
    assert "takes no more requests now (429)" in stop.what
    assert stop.remedy == remedy
    assert len(server.wire.bodies(CHAT)) == 2


def test_a_page_is_not_quoted(server: Talk) -> None:
    stop = fails(server, Reply([b"<html>\x1b[31m" + b"x" * 100_000], 502, "text/html"))
    assert stop.what == "The server failed (502)."


def test_no_words_of_a_server_reach_the_terminal_unfiltered_or_endless(server: Talk) -> None:
    odd = "a\x1b]0;title\x07\u202eb\r\nc " + "long " * 1000
    stop = fails(server, as_json({"error": {"message": odd}}, 500))
    assert stop.what.isprintable()
    assert "a ]0;title b c long" in " ".join(stop.what.split())


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_that_ends_in_mid_answer_keeps_what_came(server: Talk, cut: bool) -> None:
    events = server.send(Reply([HALF], cut=cut), WHOLE)
    assert said(events) == "Half an"
    assert end(events).reason == "error"
    assert "The connection to" in end(events).what
    assert said(server.send()) == "Fine."


def test_a_connection_that_breaks_after_the_answer_takes_nothing_from_it(server: Talk) -> None:
    events = server.send(Reply(WHOLE.parts, cut=True))
    assert said(events) == "Fine."
    assert end(events).reason == "stop"


def test_half_an_event_is_told(server: Talk) -> None:
    stop = fails(server, Reply([HALF, b'data: {"choices": [{"del']))
    assert "no JSON object" in stop.what


def test_an_error_in_the_stream_keeps_what_came(server: Talk) -> None:
    error = json.dumps({"error": {"message": "out of memory", "code": 500}})
    events = server.send(Reply([HALF, stream(error)]))
    assert said(events) == "Half an"
    assert end(events).what == "The server failed (500): out of memory"
    older = server.send(Reply([HALF, b'error: {"message": "gone", "code": 500}\n\n']))
    assert end(older).what == "The server failed (500): gone"


def test_a_server_that_falls_silent_is_left(server: Talk) -> None:
    events = server.send(Reply([HALF], silent=True))
    assert said(events) == "Half an"
    assert "has stopped sending" in end(events).what
    assert said(server.send(WHOLE)) == "Fine."


def test_an_answer_that_is_no_stream_is_told(server: Talk) -> None:
    assert "not as a stream" in fails(server, as_json({"choices": []})).what
    assert "not as a stream" in fails(server, Reply([b"<html>"], kind="text/html")).what


def test_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with talk() as server:
        server.spec = Spec(url=f"http://127.0.0.1:{port}/v1")
        stop = end(server.load())
        assert stop.what == f"Nothing answers at http://127.0.0.1:{port}."
        assert end(server.send()).what == stop.what
        server.spec = Spec(url=server.wire.url)
        assert said(server.send(WHOLE)) == "Fine."


def test_no_host_of_that_name() -> None:
    with talk() as server:
        stop = end(server.load(url="http://no-such-host.invalid:8000"))
        assert "no host of that name: http://no-such-host.invalid:8000" in stop.what


def test_what_is_no_model_server_is_told(server: Talk) -> None:
    server.wire.answer("/v1/models", Reply([b"<html>hello"], kind="text/html"))
    assert "no model server" in end(server.load()).what
    server.wire.answer("/v1/models", {"hello": 1})
    assert "no model server" in end(server.load()).what


def test_a_model_it_does_not_have(server: Talk) -> None:
    server.wire.answer("/v1/models", models(*(f"m{n}" for n in range(14)), owner="vllm"))
    stop = end(server.load(model="other"))
    assert "no model other; it has: m0, m1" in stop.what
    assert stop.what.endswith("m9 and 4 more.")
    assert "m0" in end(server.load()).what  # the default is no one's model here
    assert isinstance(server.load(model="m3")[-1], Loaded)


def test_a_key_in_a_servers_words_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with talk() as server:
        monkeypatch.setenv("TOKENHUD_API_KEY", "sk-very-secret")
        refusal = as_json({"error": {"message": "Wrong key: sk-very-secret"}}, 401)
        events = [*server.load(), *server.send(refusal)]
        assert "does not take the key (401): Wrong key: …" in end(events).what
        assert "sk-very-secret" not in repr(events)
        assert server.wire.asked[-1][1]["Authorization"] == "Bearer sk-very-secret"


def test_a_key_that_no_header_takes_is_told_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with talk() as server:
        monkeypatch.setenv("TOKENHUD_API_KEY", "schlüssel")
        stop = end(server.load())
        assert stop.what == "The key from TOKENHUD_API_KEY has characters that no key has."


SAYS = {  # path to what a server of every kind says there
    "/v1/models": models("m", owner="vllm", max_model_len=4096, meta={}),
    "/version": {"version": "1"},
    "/server_info": {"version": "1", "model_path": "m", "context_length": 4096, "dtype": "auto"},
    "/props": {"default_generation_settings": {"n_ctx": 4096, "speculative": True}},
    "/api/v0/models": {"data": [{"id": "m", "loaded_context_length": 4096}]},
    "/openapi.json": {"paths": {"/load_model": {}}},
    "/health": {},
}


@given(st.sampled_from(list(places(SAYS))), odd_values, st.sampled_from([*OWNERS, "nobody"]))
def test_whatever_a_server_says_of_itself_it_is_found_or_told_in_one_sentence(
    way: tuple[Any, ...], odd: Any, owner: str
) -> None:
    says = copy.deepcopy(SAYS)
    says["/v1/models"]["data"][0]["owned_by"] = owner
    says = spoilt(says, way, odd)

    def reply(request: httpx.Request) -> httpx.Response:
        said = says.get(request.url.path)
        return httpx.Response(404 if said is None else 200, text=json.dumps(said))

    async def find() -> Server:
        async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
            return await discover(client, Spec(url="http://a", model="m"))

    with suppress(EngineError):
        found = asyncio.run(find())
        assert all(note.isprintable() and len(note) < 600 for note in found.notes)
        assert found.context in (4096, None)


def test_a_key_for_everyone_stays_on_this_machine_unless_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tokenhud.engines.remote_address import key

    monkeypatch.delenv("TOKENHUD_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    known = {url: key(url) for url in ("http://1.2.3.4", "https://a.b", "http://[::1]:8000")}
    assert known["http://1.2.3.4"] is None
    assert known["https://a.b"] is not None
    assert known["http://[::1]:8000"] is not None
    assert "sk-openai" not in repr(known)


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to sign with")
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    made = tmp_path / "cert.pem"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch"]
    line += ["-days", "1", "-subj", "/CN=localhost"]
    own = tmp_path / "own.pem"
    subprocess.run([*line, "-keyout", made, "-out", own], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, made)
    with socket.create_server(("127.0.0.1", 0)) as listening, talk() as server:

        def shake() -> None:
            raw, _ = listening.accept()
            with raw, pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(raw, server_side=True)

        shaking = threading.Thread(target=shake, daemon=True)
        shaking.start()
        stop = end(server.load(url=f"https://localhost:{listening.getsockname()[1]}"))
        shaking.join(5)
    assert "cannot be verified" in stop.what
    assert "SSL_CERT_FILE" in stop.remedy


def test_nothing_is_sent_where_a_request_cannot_be_answered(server: Talk) -> None:
    assert "token ids" in end(server.send(WHOLE, margins=True)).what
    assert not server.wire.bodies(CHAT)
    assert not any(isinstance(event, Start) for event in server.send(margins=True))
