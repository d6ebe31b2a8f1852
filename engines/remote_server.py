"""Which server answers at an address, what it runs and how far away it is."""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from .events import EngineError
from .options import Spec
from .remote_about import PROBE, context_of, document, find_kind, notes_of, objects
from .remote_address import Key, key, root
from .remote_faults import refused, unreachable, words
from .remote_kinds import UNKNOWN, Kind

CONNECT, SILENCE = 10.0, 300.0  # seconds: to be reached, and between two bytes of an answer
KEPT = 4.0  # seconds that an idle connection is kept: less than servers keep theirs
FOUND = 30.0  # seconds for all of them
PINGS = 3
LISTED = 10  # models named in a sentence
LONGEST_NAME = 500  # characters; a path may be one


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was found; `context` and `rtt_ns` where they are known."""

    address: str
    kind: Kind
    model: str
    context: int | None
    rtt_ns: int | None
    secret: Key | None
    notes: tuple[str, ...]
    chat: bool = True  # else it only completes texts


def open_client(url: str, silence: float = SILENCE) -> httpx.AsyncClient:
    """For one server: the key goes nowhere else, since no redirect is followed. Raises EngineError
    for a key that cannot be sent."""
    secret = key(url)
    if secret and secret.problem:
        raise EngineError(secret.problem, "Set it again.")
    headers = {"Accept-Encoding": "identity"}  # compressed tokens would wait for one another
    headers |= {"Authorization": f"Bearer {secret.secret}"} if secret else {}
    return httpx.AsyncClient(
        headers=headers,
        verify=_authorities(),
        timeout=httpx.Timeout(silence, connect=CONNECT, pool=None),
        limits=httpx.Limits(keepalive_expiry=KEPT),
    )


@cache
def _authorities() -> ssl.SSLContext:
    """Takes a quarter of a second to read."""
    return httpx.create_ssl_context()


async def discover(client: httpx.AsyncClient, asked: Spec) -> Server:
    """Raises EngineError where no server answers or it hasn't the model of `asked`."""
    address = root(asked.url)
    try:
        async with asyncio.timeout(FOUND):
            return await _discovered(client, address, asked)
    except httpx.RequestError as error:
        raise unreachable(error, address) from None
    except TimeoutError:
        raise EngineError(f"{address} is too slow to tell what it is.", "Try again.") from None


async def _discovered(client: httpx.AsyncClient, address: str, asked: Spec) -> Server:
    secret = key(asked.url)
    models = await _models(client, address, secret)
    kind, about = await find_kind(client, address, models)
    model = _chosen(kind, models, asked.model)
    entry = next((each for each in models if each["id"] == model), {})
    rtt_ns = await _round_trip(client, address)
    context = context_of(kind, entry, about, model)
    notes = (*notes_of(kind, about), *_source(secret))
    chat = kind is not UNKNOWN or await _chats(client, address)
    return Server(address, kind, model, context, rtt_ns, secret, notes, chat)


async def _models(
    client: httpx.AsyncClient, address: str, secret: Key | None
) -> list[dict[str, Any]]:
    """Some servers list none, or have no list."""
    async with client.stream("GET", f"{address}/v1/models", timeout=PROBE * 2) as response:
        if response.status_code in (404, 405):
            return []
        if response.status_code != 200:
            raise await refused(response, address, secret.secret if secret else "")
        listed = await document(response)
    if listed is None or "data" not in listed:
        raise EngineError(f"What answers at {address} is no model server.", "Check the address.")
    return [each for each in objects(listed["data"]) if _is_name(each.get("id"))]


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()


def _chosen(kind: Kind, models: list[dict[str, Any]], asked: str) -> str:
    names = [each["id"] for each in models]
    if asked in names or (kind.any_model and asked != Spec().model):
        return asked
    if f"{asked}:latest" in names:
        return f"{asked}:latest"
    if asked == Spec().model and len(names) == 1:
        return str(names[0])
    shown = ", ".join(words(name)[:60] for name in names[:LISTED]) or "none"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    raise EngineError(
        f"The server has no model {words(asked)}; it has: {shown}{more}.", "Name one with /model."
    )


async def _round_trip(client: httpx.AsyncClient, address: str) -> int | None:
    """The median of a few light requests on an open connection."""
    times = []
    for _ in range(PINGS):
        began = time.perf_counter_ns()
        try:
            async with client.stream("GET", f"{address}/health", timeout=PROBE) as response:
                await document(response)
        except httpx.RequestError:
            return None
        times.append(time.perf_counter_ns() - began)
    return int(statistics.median(times))


async def _chats(client: httpx.AsyncClient, address: str) -> bool:
    """A request without messages is refused where there is a chat, and not found where there is
    none; a model not found is another matter."""
    path = f"{address}/v1/chat/completions"
    try:
        async with client.stream("POST", path, json={}, timeout=PROBE) as response:
            if response.status_code not in (404, 405):
                return True
            return "model" in json.dumps(await document(response)).lower()
    except httpx.RequestError:
        return True


def _source(secret: Key | None) -> tuple[str, ...]:
    return (f"Its key comes from {secret.source}.",) if secret else ()
