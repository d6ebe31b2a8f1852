"""The engine on another machine: any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, suppress

import httpx

from .events import EngineError, Event, Loaded, Model, Progress, Request, Scoring, Stop
from .options import Spec
from .remote_kinds import told_at_launch
from .remote_request import answered, effective
from .remote_server import SILENCE, Server, discover, open_client

CLOSE = 2.0  # seconds


class RemoteEngine:
    """Talks in a thread of its own, so that what arrives is stamped when it arrives and a cancel
    closes the connection at once."""

    def __init__(self, silence: float = SILENCE) -> None:
        self.pid = os.getpid()
        self._silence = silence
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._client: httpx.AsyncClient | None = None
        self._server: Server | None = None
        self._asked: tuple[str, str] | None = None  # address and model that were found
        self._cold = True
        self._told: tuple[str, ...] = ()
        self._running: Future[None] | None = None

    def load(self, spec: Spec) -> Iterator[Event]:
        return self._events(self._opening(spec))

    def stream(self, request: Request) -> Iterator[Event]:
        return self._events(self._answering(request))

    def score(self, scoring: Scoring) -> Iterator[Event]:
        remedy = _elsewhere(scoring.spec)
        yield Stop(time.perf_counter_ns(), "error", what="A server judges no text.", remedy=remedy)

    def cancel(self) -> None:
        if self._running:
            self._running.cancel()

    def close(self) -> None:
        self.cancel()
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with suppress(TimeoutError):
            closing.result(CLOSE)

    def _events(self, events: AsyncIterator[Event]) -> Iterator[Event]:
        """No generator function: the work begins at the call, and so does what a cancel ends."""
        ready: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        running = asyncio.run_coroutine_threadsafe(_pump(events, ready), self._loop)
        running.add_done_callback(lambda _: ready.put(None))
        self._running = running
        return _until_done(ready, running)

    async def _answering(self, request: Request) -> AsyncIterator[Event]:
        spec = request.spec
        if request.margins:
            raise EngineError("A server tells no token ids.", _elsewhere(spec))
        if self._server is None or self._asked != (spec.url, spec.model):
            async for event in self._opening(spec):
                yield event
        assert self._client
        assert self._server
        fixed = told_at_launch(self._server.kind, spec)
        notes, self._told = () if fixed == self._told else fixed, fixed
        cold, self._cold = self._cold, False
        events = answered(self._client, self._server, request, cold, notes=notes)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _opening(self, spec: Spec) -> AsyncIterator[Event]:
        """The server may have been started anew with other settings, so it is asked each time."""
        began = time.perf_counter_ns()
        yield Progress(began, f"looking for {spec.url}", 0, 0)
        await self._close()
        self._client = open_client(spec.url, self._silence)
        self._server = await discover(self._client, spec)
        self._asked, self._cold = (spec.url, spec.model), True
        now = time.perf_counter_ns()
        yield loaded(self._server, spec, now, now - began)

    async def _close(self) -> None:
        client, self._client, self._server = self._client, None, None
        if client:
            await client.aclose()


async def _pump(events: AsyncIterator[Event], ready: queue.SimpleQueue[Event | None]) -> None:
    async for event in events:
        ready.put(event)


def _until_done(ready: queue.SimpleQueue[Event | None], running: Future[None]) -> Iterator[Event]:
    try:
        while (event := ready.get()) is not None:
            yield event
        running.result()
    except EngineError as error:
        yield Stop(time.perf_counter_ns(), "error", what=error.what, remedy=error.remedy)
    except CancelledError:
        yield Stop(time.perf_counter_ns(), "cancelled")
    finally:
        running.cancel()


def loaded(server: Server, spec: Spec, now: int, took: int) -> Loaded:
    """What a server does not tell of its model is unknown: "" and 0."""
    model = Model(server.model, server.address, "", "", 0, "", 0, server.context or 0, "", ())
    notes = (*server.notes, *told_at_launch(server.kind, spec))
    return Loaded(now, model, effective(server, spec), took, {}, notes)


def _elsewhere(spec: Spec) -> str:
    return f"Choose weights on this machine instead of {spec.url}."
