"""This machine and servers in one experiment, in turns and without a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...engines.events import Engine, Event, Request, Scoring
from ...engines.options import Spec


class Apart:
    """An engine for each address that is asked for, "" among them: each keeps what it has loaded
    while another one answers."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open = open_engine
        self._active = self._first = open_engine()
        self._at: dict[str, Engine] = {}

    @property
    def pid(self) -> int:
        """Of the engine of this machine, where one was asked for."""
        return self._at.get("", self._first).pid

    def load(self, spec: Spec) -> Iterator[Event]:
        return self._engine(spec).load(spec)

    def stream(self, request: Request) -> Iterator[Event]:
        return self._engine(request.spec).stream(request)

    def score(self, scoring: Scoring) -> Iterator[Event]:
        return self._engine(scoring.spec).score(scoring)

    def cancel(self) -> None:
        self._active.cancel()

    def close(self) -> None:
        self._first.close()
        for engine in self._at.values():
            if engine is not self._first:
                engine.close()

    def _engine(self, spec: Spec) -> Engine:
        if spec.url not in self._at:
            self._at[spec.url] = self._open() if self._at else self._first
        self._active = self._at[spec.url]
        return self._active
