"""This machine or a server, as each request asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .events import Engine, Event, Request, Scoring
from .options import Spec


class Routed:
    """Two engines of which one at a time holds anything: the other has given its memory back."""

    def __init__(self, local: Engine, open_remote: Callable[[], Engine]) -> None:
        self.pid = local.pid
        self._local = self._active = local
        self._open_remote = open_remote
        self._remote: Engine | None = None

    def load(self, spec: Spec) -> Iterator[Event]:
        engine = self._engine(spec)
        return self._alone(engine, engine.load(spec))

    def stream(self, request: Request) -> Iterator[Event]:
        engine = self._engine(request.spec)
        return self._alone(engine, engine.stream(request))

    def score(self, scoring: Scoring) -> Iterator[Event]:
        engine = self._engine(scoring.spec)
        return self._alone(engine, engine.score(scoring))

    def cancel(self) -> None:
        self._local.cancel()
        if self._remote:
            self._remote.cancel()

    def close(self) -> None:
        self._local.close()
        if self._remote:
            self._remote.close()

    def _engine(self, spec: Spec) -> Engine:
        if not spec.url:
            return self._local
        self._remote = self._remote or self._open_remote()
        return self._remote

    def _alone(self, engine: Engine, events: Iterator[Event]) -> Iterator[Event]:
        if engine is not self._active:
            self._active.close()
            self._active = engine
        yield from events
