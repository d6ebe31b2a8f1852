"""Load on a server: so many requests in flight, for each of several numbers of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from ...engines.events import EngineError, Request, Stop
from ...engines.options import Sampling, Spec
from ...engines.remote import loaded
from ...engines.remote_request import answered
from ...engines.remote_server import Server, discover, open_client
from ..chat import header
from ..clean import one_line
from ..places import numbered
from ..records import Record, Trial
from .plan import Case, Method, Plan, messages, options
from .recorder import Recorder

RAW = "requests.jsonl"
REQUESTS, DURATION = 32, 300.0  # of a level at most, where nobody says; seconds
LOCAL = EngineError(
    "This machine answers one request at a time, so it bears no load.",
    "Give a server's address with --url; docs/distributed.md tells how one is started.",
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ends a level, whichever comes first. What is in flight when the time is over is cut
    off."""

    requests: int = REQUESTS
    duration: float = DURATION  # seconds


class Ended(NamedTuple):
    raw: Path  # the log
    whole: bool  # nobody cancelled it


class Done(NamedTuple):
    """How far a level is."""

    level: int
    requests: int
    total: int


def load_plan(
    levels: Sequence[int], cases: Sequence[Case], bounds: Bounds, spec: Spec, sampling: Sampling
) -> Plan:
    """A method for each level, which is its name; a pass asks each case once. Raises EngineError
    where no server is named, and OptionError for a case that asks what cannot be."""
    if not spec.url:
        raise LOCAL
    ways = tuple(Method(str(each)) for each in dict.fromkeys(levels))
    passes = -(-bounds.requests // len(_asked(cases)))
    plan = Plan("load", ways, spec, sampling, runs=passes, warmup=1)
    for case in cases:
        options(plan, case, ways[0])
    return plan


async def load(
    plan: Plan, cases: Sequence[Case], bounds: Bounds, folder: Path, tell: Callable[[Done], object]
) -> Ended:
    """Asks the server until all levels are through, or the task is cancelled; what was answered
    until then is kept in `folder`, or where that is taken in folder-2, folder-3, ... Raises
    EngineError where no such server answers or nothing can be written."""
    began = time.perf_counter_ns()
    async with open_client(plan.spec.url) as client:
        server = await discover(client, plan.spec)
        now = time.perf_counter_ns()
        path = _new_folder(folder) / RAW
        recorder = Recorder(path, new=True)
        found = loaded(server, plan.spec, now, now - began)
        about: tuple[Record, ...] = (header(plan.spec, plan.sampling), plan, *cases, found)
        try:
            for record in about:
                recorder.append(record)
            for method in plan.methods:
                level = _Level(client, server, plan, cases, bounds, method, tell)
                try:
                    await level.run()
                finally:
                    level.write(recorder.append)
        except asyncio.CancelledError:
            return Ended(path, whole=False)
        finally:
            recorder.close()
    return Ended(path, whole=True)


@dataclass(slots=True)
class _Level:
    """A closed loop: each worker sends its next request when the last one has ended. Records are
    written when it is over, since writing would delay the time stamps of what streams meanwhile."""

    client: httpx.AsyncClient
    server: Server
    plan: Plan
    cases: Sequence[Case]
    bounds: Bounds
    method: Method
    tell: Callable[[Done], object]
    _answers: list[list[Record]] = field(default_factory=list)
    _done: int = 0

    async def run(self) -> None:
        """First every worker opens its connection with a warm-up."""
        workers = min(int(self.method.name), self.bounds.requests)
        await self._together([iter([at]) for at in range(workers)], warmup=True)
        waiting = iter(range(self.bounds.requests))
        await self._together([waiting] * workers, warmup=False)

    def write(self, append: Callable[[Record], None]) -> None:
        for answer in self._answers:
            for record in answer:
                append(record)

    async def _together(self, queues: Sequence[Iterator[int]], warmup: bool) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.bounds.duration), asyncio.TaskGroup() as group:
                for queue in queues:
                    group.create_task(self._worker(queue, warmup))

    async def _worker(self, queue: Iterator[int], warmup: bool) -> None:
        for number in queue:
            asked = _asked(self.cases)
            turn, place = divmod(number, len(asked))
            at, run = asked[place], 0 if warmup else turn + 1
            case = self.cases[at]
            kept: list[Record] = [
                Trial(self.plan.purpose, None, True, case.name, self.method.name, run, warmup)
            ]
            self._answers.append(kept)
            await self._answer(at, kept)
            if not warmup:
                self._done += 1
                self.tell(Done(int(self.method.name), self._done, self.bounds.requests))

    async def _answer(self, at: int, kept: list[Record]) -> None:
        """Nothing that the server caches of one request helps another, where it can be told so."""
        spec, sampling = options(self.plan, self.cases[at], self.method)
        said = messages(self.cases, at)
        request = Request(said, spec, sampling, exact=self.cases[at].exact, fresh=True)
        try:
            events = answered(self.client, self.server, request, alone=False)
            async with aclosing(events):
                async for event in events:
                    kept.append(event)  # noqa: PERF401  # what came stays where it breaks off
        except EngineError as error:
            now = time.perf_counter_ns()
            kept.append(Stop(now, "error", what=error.what, remedy=error.remedy))
        except asyncio.CancelledError:
            kept.append(Stop(time.perf_counter_ns(), "cancelled"))
            raise


def _asked(cases: Sequence[Case]) -> list[int]:
    """The others are history of these."""
    return [at for at, case in enumerate(cases) if not case.skip]


def _new_folder(folder: Path) -> Path:
    for path in numbered(folder):
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not any(path.iterdir()):
                return path
        except FileExistsError:
            continue
        except OSError as error:
            raise EngineError(
                f"{one_line(str(path))} cannot be written: {error.strerror}.",
                "Name another folder: --out DIR.",
            ) from None
    raise AssertionError("numbers never end")
