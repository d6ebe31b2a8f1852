"""One answer of a server: the request, and its stream as events."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import fields, replace
from typing import Any

import httpx

from .events import EngineError, Event, Message, Request, Start, Stop
from .options import Sampling, Spec
from .remote_about import document
from .remote_counters import Counted, counted, scrape
from .remote_faults import dropped, refused, unreachable
from .remote_kinds import NEUTRAL, SHARED, Kind
from .remote_reading import Reading
from .remote_server import Server
from .remote_stream import EventStream

TRAIL = 0.2  # seconds that a response may go on after its last event
NO_CHAT = "The server has no chat, so it completes the conversation written out, in no template."
WARM = "The server's prefix cache may hold part of the prompt: it cannot be passed by from outside."


async def answered(
    client: httpx.AsyncClient,
    server: Server,
    request: Request,
    cold: bool = False,
    alone: bool = True,
    notes: tuple[str, ...] = (),
) -> AsyncGenerator[Event, None]:
    """Start, Prefill and Chunk events, Served, and Stop at the end of the answer. Any number may
    run at a time on one client; `alone` says that this one does, so that the server's counters
    tell its drafts. Raises EngineError for what goes wrong, and closes the connection at once
    where it is closed or cancelled."""
    body, sampling, more = await _body(client, server, request)
    counters = server.kind.counters if alone else None
    before = await scrape(client, server.address, counters) if counters else None
    spec = effective(server, request.spec)
    yield Start(time.perf_counter_ns(), (), 0, cold, spec, sampling, (*notes, *more))
    reading = Reading(server.kind, server.address, _secret(server))
    try:
        async with aclosing(_streamed(client, server, body, reading)) as events:
            async for event in events:
                yield event
    except httpx.RequestError as error:
        if not reading.whole:
            raise unreachable(error, server.address) from None
    if not reading.whole:
        raise dropped(server.address)
    ended = time.perf_counter_ns()
    told = Counted()
    if counters:
        told = await counted(client, server.address, counters, before, reading.completion)
    yield reading.served(ended, server.rtt_ns, told)
    yield Stop(ended, reading.reason or "stop")


def effective(server: Server, asked: Spec) -> Spec:
    """What is known to be in force; all else is the server's own."""
    return Spec(model=server.model, url=asked.url, context=server.context)


async def _streamed(
    client: httpx.AsyncClient, server: Server, body: dict[str, Any], reading: Reading
) -> AsyncGenerator[Event, None]:
    path = "/v1/completions" if "prompt" in body else "/v1/chat/completions"
    events = EventStream()
    async with client.stream("POST", server.address + path, json=body) as response:
        if response.status_code != 200:
            raise await refused(response, server.address, _secret(server))
        if "json" in (kind := response.headers.get("content-type", "")) or "html" in kind:
            raise EngineError(
                f"{server.address} answers, but not as a stream of events.", "Check the address."
            )
        parts = response.aiter_bytes()
        async for part in parts:
            now = time.perf_counter_ns()
            for data in events.push(part):
                for event in reading.push(data, now):
                    yield event
            if reading.done:
                await _read_out(parts)
        now = time.perf_counter_ns()
        for data in events.flush():
            for event in reading.push(data, now):
                yield event


async def _read_out(parts: AsyncIterator[bytes]) -> None:
    """To the end of the response, which soon follows: then its connection serves the next one."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TRAIL):
            async for _ in parts:
                pass


async def _body(
    client: httpx.AsyncClient, server: Server, request: Request
) -> tuple[dict[str, Any], Sampling, tuple[str, ...]]:
    """The request in JSON, the sampling that it comes to, and what could not be passed."""
    kind = server.kind
    sampling, notes = _passed(kind, request.sampling)
    body: dict[str, Any] = {"model": server.model, "stream": True, "max_tokens": sampling.length}
    body |= {name: getattr(sampling, name) for name in SHARED}
    body |= {theirs: _value(kind, sampling, ours) for ours, theirs in kind.takes.items()}
    body |= kind.always
    body |= {"stream_options": dict(kind.usage)} if kind.usage else {}
    if request.fresh:
        body |= {
            name: secrets.token_hex(8) if value == "" else value
            for name, value in kind.fresh.items()
        }
        notes += () if kind.fresh else (WARM,)
    if request.exact is not None:
        body["prompt"] = await _exactly(client, server, request)
    elif server.chat:
        body["messages"] = [_message(each) for each in request.messages]
    else:
        said = [f"{each.role}: {each.content}\n" for each in request.messages]
        body |= {"prompt": f"{''.join(said)}assistant:", "stop": ["\nuser:"]}
        notes += (NO_CHAT,)
    return body, sampling, notes


def _passed(kind: Kind, asked: Sampling) -> tuple[Sampling, tuple[str, ...]]:
    """A seed is drawn here, so that the log can tell it."""
    lost = [
        each.name
        for each in fields(Sampling)
        if each.name not in (*SHARED, *kind.takes, "length")
        and getattr(asked, each.name) != getattr(NEUTRAL, each.name)
    ]
    used = replace(asked, **{name: getattr(NEUTRAL, name) for name in lost})
    if "seed" in kind.takes and used.seed is None:
        used = replace(used, seed=secrets.randbits(31))
    if not lost:
        return used, ()
    return used, (f"{kind.name} takes no {', '.join(lost)} from outside.",)


def _value(kind: Kind, sampling: Sampling, name: str) -> Any:
    match name:
        case "top_k":
            return sampling.top_k or kind.no_top_k
        case "ignore_eos":
            return sampling.ignore_eos == "on"
        case "seed":  # the widest that every server holds
            return (sampling.seed or 0) % 2**31
        case _:
            return getattr(sampling, name)


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


async def _exactly(client: httpx.AsyncClient, server: Server, request: Request) -> list[int]:
    """That many ids, the server's tokenizer asked."""
    if server.kind.tokenize is None:
        raise EngineError(
            f"{server.kind.name} takes no prompt of an exact length.", "Send a text instead."
        )
    said, wanted = request.messages[-1].content, request.exact or 0
    ids: list[int] = []
    while len(ids) < wanted:
        longer = await _tokens(client, server, said)
        if len(longer) <= len(ids):
            raise EngineError("The server gives no tokens of this text.", "Send another text.")
        said, ids = f"{said}\n\n{said}", longer
    return ids[:wanted]


async def _tokens(client: httpx.AsyncClient, server: Server, text: str) -> list[int]:
    path, name = server.kind.tokenize or ("", "")
    body = {"model": server.model, name: text}
    try:
        async with client.stream("POST", server.address + path, json=body) as response:
            if response.status_code != 200:
                raise await refused(response, server.address, _secret(server))
            found = (await document(response) or {}).get("tokens")
    except httpx.RequestError as error:
        raise unreachable(error, server.address) from None
    ids = found if isinstance(found, list) else []
    return ids if all(type(each) is int for each in ids) else []


def _secret(server: Server) -> str:
    return server.secret.secret if server.secret else ""
