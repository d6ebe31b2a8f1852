"""A server on loopback that says what a test gives it, byte by byte, and can break off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tokenhud.engines.events import Chunk, Event, Message, Request, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.remote import RemoteEngine

EVENTS = "text/event-stream"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


@dataclass(slots=True)
class Reply:
    """`parts` are sent one by one; then the connection ends."""

    parts: Sequence[bytes] = ()
    status: int = 200
    kind: str = EVENTS
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False  # goes on with comments
    silent: bool = False  # stays open and says no more
    cut: bool = False  # promises more than it sends


@dataclass(slots=True)
class Wire:
    """Paths to replies, used up one after the other but for the last of each; `asked` is what came
    in. `gone` is set when a client leaves a reply that hangs."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)  # of the clients' connections
    gone: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, *replies: Reply | dict[str, Any] | list[Any]) -> None:
        self.replies[path] = [as_json(r) if isinstance(r, dict | list) else r for r in replies]

    def bodies(self, path: str) -> list[Any]:
        return [body for each, _, body in self.asked if each == path]


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply([json.dumps(value).encode()], status, "application/json", headers)


def stream(*events: dict[str, Any] | str, end: str = "[DONE]") -> bytes:
    """Events as servers write them; a text is one as it stands."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in events]
    return "".join(f"data: {text}\n\n" for text in [*texts, *([end] if end else [])]).encode()


@contextmanager
def wire() -> Iterator[Wire]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            size = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            told.asked.append((self.path, dict(self.headers), body))
            told.ports.add(self.client_address[1])
            waiting = told.replies.get(self.path, [Reply([b"{}"], 404, "application/json")])
            send(self, waiting.pop(0) if len(waiting) > 1 else waiting[0], told)

        do_GET = do_POST = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told = Wire(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield told
    finally:
        told.ending.set()
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, reply: Reply, told: Wire) -> None:
    handler.send_response(reply.status)
    for name, value in {"Content-Type": reply.kind, **reply.headers}.items():
        handler.send_header(name, value)
    if not (reply.silent or reply.hangs):
        handler.send_header("Content-Length", str(sum(map(len, reply.parts)) + reply.cut))
    handler.close_connection = reply.silent or reply.hangs or reply.cut
    handler.end_headers()
    for part in reply.parts:
        handler.wfile.write(part)
        handler.wfile.flush()
    if reply.silent:
        told.ending.wait()
    while reply.hangs and not told.ending.wait(0.02):
        try:
            handler.wfile.write(b": waiting\n\n")
            handler.wfile.flush()
        except OSError:
            told.gone.set()
            return


class Talk:
    """A remote engine that talks to a wire, and the requests that tests send over it."""

    def __init__(self, wired: Wire) -> None:
        self.wire = wired
        self.engine = RemoteEngine(silence=0.5)
        self.spec = Spec(url=wired.url)
        wired.answer("/v1/models", models("m", owner="me"))

    def load(self, **changes: Any) -> list[Event]:
        return list(self.engine.load(replace(self.spec, **changes)))

    def send(self, *replies: Reply, **changes: Any) -> list[Event]:
        if replies:
            self.wire.answer(CHAT, *replies)
        return list(self.engine.stream(self.request(**changes)))

    def request(self, **changes: Any) -> Request:
        sampling = replace(Sampling(), **changes.pop("sampling", {}))
        spec = replace(self.spec, **changes.pop("spec", {}))
        return Request((Message("user", "Hello?"),), spec, sampling, **changes)

    def body(self) -> Any:
        return self.wire.bodies(CHAT)[-1]


def models(*names: str, owner: str = "nobody", **more: Any) -> dict[str, Any]:
    return {"data": [{"id": name, "owned_by": owner, **more} for name in names]}


@contextmanager
def talk() -> Iterator[Talk]:
    """Without the keys and proxies of whoever runs the tests."""
    names = ("TOKENHUD_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY")
    with pytest.MonkeyPatch.context() as patch, wire() as wired:
        for name in (*names, "all_proxy"):
            patch.delenv(name, raising=False)
        talking = Talk(wired)
        yield talking
        talking.engine.close()


def said(events: Sequence[Event]) -> str:
    return "".join(each.text for each in events if isinstance(each, Chunk))


def end(events: Sequence[Event]) -> Stop:
    assert isinstance(events[-1], Stop)
    return events[-1]
