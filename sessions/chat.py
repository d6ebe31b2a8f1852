"""One chat: an engine, a log, and the conversation that the log amounts to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from .. import __version__
from ..engines.events import (
    Engine,
    EngineError,
    Event,
    Message,
    Request,
    Sample,
    Scoring,
    Stop,
)
from ..engines.options import Sampling, Spec, chosen_here
from .conversation import Conversation, Exchange, conversation
from .log import Log
from .machine import environment
from .records import SCHEMA_VERSION, Clear, Header, Record, Setting, Trial, Turn, Undo


class Chat:
    """Everything that happens is a record first: appended to the log, then applied.

    `load` and `ask` belong in one thread at a time; `cancel` may come from any.
    """

    def __init__(self, engine: Engine, log: Log, spec: Spec, sampling: Sampling) -> None:
        self.engine = engine
        self.log = log
        self.sample: Sample | None = None  # the last reading of the machine
        self._told = Conversation(spec, sampling)

    @property
    def spec(self) -> Spec:
        return self._told.spec

    @property
    def sampling(self) -> Sampling:
        return self._told.sampling

    @property
    def system(self) -> str | None:
        return self._told.system

    @property
    def exchanges(self) -> list[Exchange]:
        return self._told.exchanges

    @property
    def busy(self) -> bool:
        """An answer or a trial is on its way."""
        return self._told.trying or (bool(self.exchanges) and self.exchanges[-1].reason is None)

    def load(self) -> Iterator[Event]:
        """Makes the model ready, so that the first message need not wait for it."""
        for event in self.engine.load(self.spec):
            self._note(event)
            yield event

    def ask(self, text: str) -> Iterator[Event]:
        """Answers `text`; the last event is a Stop, whatever happens."""
        self.begin(text)
        yield from self.answer()

    def begin(self, text: str) -> None:
        """Takes the person's message; `answer` must follow."""
        self._note(Turn(self._told.turns + 1, text, _now()))

    def answer(self) -> Iterator[Event]:
        yield from self._noted(Request(self.messages(), self.spec, self.sampling))

    def messages(self) -> tuple[Message, ...]:
        """What the engine is asked: the conversation up to the last message."""
        return self._told.messages()

    def attempt(
        self, purpose: str, spec: Spec, sampling: Sampling, margins: bool = False
    ) -> Iterator[Event]:
        """Answers the last message again, beside the conversation. Raises EngineError where
        nothing was sent yet; otherwise the last event is a Stop."""
        if not self.exchanges:
            raise EngineError("Nothing was sent yet that could be tried.", "Send a message first.")
        trial = Trial(purpose, self.exchanges[-1].turn_id)
        yield from self.beside(trial, Request(self.messages(), spec, sampling, margins))

    def beside(self, trial: Trial, asked: Request | Scoring) -> Iterator[Event]:
        """What the engine says to `asked`, beside the conversation; the last event is a Stop."""
        self._note(trial)
        yield from self._noted(asked)

    def _noted(self, asked: Request | Scoring) -> Iterator[Event]:
        try:
            for event in self._events(asked):
                self._note(event)
                yield event
        finally:
            if self.busy:  # a bug, or a reader that left: the next turn must not wait for it
                self._note(Stop(time.perf_counter_ns(), "cancelled"))

    def _events(self, asked: Request | Scoring) -> Iterator[Event]:
        if isinstance(asked, Scoring):
            return self.engine.score(asked)
        return self.engine.stream(asked)

    def cancel(self) -> None:
        self.engine.cancel()

    def set(self, name: str, value: str | int | float | None) -> None:
        """Changes "system" or a field of Spec or Sampling; raises OptionError, changing nothing."""
        self._note(Setting(name, value))

    def undo(self) -> Exchange | None:
        """Takes the last turn out of the conversation and returns it."""
        if not self.exchanges:
            return None
        last = self.exchanges[-1]
        self._note(Undo(last.turn_id))
        return last

    def clear(self) -> None:
        self._note(Clear())

    def resume(self, log: Log) -> None:
        """Goes on with another session's log; models and server stay those in use, since a log may
        name any. A new header tells where and with what this sitting runs."""
        told = conversation(log.records, self.spec, self.sampling)
        spec = replace(told.spec, **chosen_here(self.spec))
        self.log.close()
        self.log, self._told = log, told
        self._note(header(spec, told.sampling))

    def observe(self, sample: Sample) -> None:
        """A reading of the machine; the log keeps those taken while an answer is on its way."""
        self.sample = sample
        if self.busy:
            self.log.append(sample)

    def close(self) -> None:
        self.engine.close()
        self.log.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, record: Record) -> None:
        self._told.apply(record)
        self.log.append(record)


def header(spec: Spec, sampling: Sampling) -> Header:
    return Header(SCHEMA_VERSION, _now(), __version__, environment(), spec, sampling)


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
