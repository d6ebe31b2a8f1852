"""The engine in this process: a target, a drafter and a text around the one loop."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event as Flag
from typing import Protocol, cast

from .drafters import Plain
from .events import (
    EngineError,
    Event,
    Loaded,
    Message,
    Model,
    Prefill,
    Progress,
    Reason,
    Request,
    Start,
    Step,
    Stop,
)
from .loop import Fixed, Target, decode, prefill
from .options import Sampling, Spec

CHUNK = {"cpu": 64, "cuda": 512}  # prompt tokens a pass: how long a cancel can take


class Held(Target, Protocol):
    """A target that also says what it holds, and can let go of it."""

    @property
    def context(self) -> int: ...
    def memory(self) -> dict[str, int]: ...
    def close(self) -> None: ...


class Speller(Protocol):
    def push(self, token: int) -> str: ...
    def flush(self) -> str: ...


class Speech(Protocol):
    """Messages to ids by the model's own template, and ids back to text."""

    @property
    def stop_ids(self) -> frozenset[int]: ...
    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], list[str]]: ...
    def detokeniser(self) -> Speller: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """An opened model; `spec` has every "auto" resolved."""

    target: Held
    text: Speech
    model: Model
    spec: Spec
    notes: tuple[str, ...] = ()  # what a person should know about the opening


Opener = Callable[[Spec], Generator[Progress, None, Parts]]


class LocalEngine:
    """Answers one request at a time, and keeps the model between them."""

    def __init__(self, opener: Opener, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.pid = os.getpid()
        self._opener = opener
        self._clock = clock
        self._cancelled = Flag()
        self._parts: Parts | None = None
        self._asked: Spec | None = None  # what the held parts were opened for
        self._cold = True

    # Neither is a generator function: a cancel counts from the call, not from the first event.
    def load(self, spec: Spec) -> Iterator[Event]:
        self._cancelled.clear()
        return self._reported(self._load(spec))

    def stream(self, request: Request) -> Iterator[Event]:
        self._cancelled.clear()
        return self._reported(self._stream(request, accepted=self._clock()))

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        if self._parts:
            self._parts.target.close()
        self._parts = self._asked = None

    def _reported(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except EngineError as error:
            yield Stop(self._clock(), "error", what=error.what, remedy=error.remedy)

    def _load(self, spec: Spec) -> Generator[Event, None, Parts | None]:
        """The parts for `spec`, opened where those held do not serve; None when cancelled."""
        wanted = _weights(spec)
        if self._parts and self._asked == wanted:
            return self._parts
        self.close()
        began = self._clock()
        parts = yield from self._unless_cancelled(self._opener(spec))
        if parts is None:
            yield Stop(self._clock(), "cancelled")
            return None
        self._parts, self._asked, self._cold = parts, wanted, True
        now = self._clock()
        yield Loaded(now, parts.model, parts.spec, now - began, parts.target.memory(), parts.notes)
        return parts

    def _unless_cancelled(
        self, opening: Generator[Progress, None, Parts]
    ) -> Generator[Progress, None, Parts | None]:
        while not self._cancelled.is_set():
            try:
                yield next(opening)
            except StopIteration as done:
                return cast("Parts", done.value)
        opening.close()
        return None

    def _stream(self, request: Request, accepted: int) -> Iterator[Event]:
        parts = yield from self._load(request.spec)
        if parts is None:
            return
        prompt, notes = parts.text.prompt(request.messages)
        room = _room(len(prompt), parts.target.context, request.sampling.length)
        if room < request.sampling.length:
            notes = [*notes, f"The context leaves room for {room} tokens of answer."]
        sampling = _seeded(request.sampling)
        spec = _effective(request.spec, parts.spec)
        cached = parts.target.cached(prompt)
        cold, self._cold = self._cold, False
        yield Start(accepted, tuple(prompt), cached, cold, spec, sampling, tuple(notes))
        yield from self._prefill(parts, prompt, cached)
        yield from self._decode(parts, prompt, sampling, spec.gamma, room)

    def _prefill(self, parts: Parts, prompt: list[int], cached: int) -> Iterator[Event]:
        total = len(prompt) - cached
        yield Prefill(self._clock(), 0, total)
        for done in prefill(parts.target, prompt, CHUNK[parts.spec.device]):
            yield Prefill(self._clock(), done, total)
            if self._cancelled.is_set():
                return

    def _decode(
        self, parts: Parts, prompt: list[int], sampling: Sampling, gamma: int, room: int
    ) -> Iterator[Event]:
        stop = parts.text.stop_ids
        text = parts.text.detokeniser()
        reason: Reason = "length"
        if self._cancelled.is_set():
            yield Stop(self._clock(), "cancelled", memory=parts.target.memory())
            return
        for block in decode(parts.target, Plain(), prompt, sampling, Fixed(gamma), stop, room):
            now = self._clock()
            pieces = tuple("" if token in stop else text.push(token) for token in block.tokens)
            yield Step(block.tokens, pieces, block.drafted, block.accepted, now)
            if block.tokens[-1] in stop:
                reason = "stop"
            elif self._cancelled.is_set():
                reason = "cancelled"
                break
        yield Stop(self._clock(), reason, text.flush(), memory=parts.target.memory())


def _weights(spec: Spec) -> Spec:
    """`spec` without what can change while the weights stay."""
    return replace(spec, drafter="plain", gamma=1)


def _effective(asked: Spec, opened: Spec) -> Spec:
    return replace(opened, drafter=asked.drafter, gamma=asked.gamma)


def _seeded(sampling: Sampling) -> Sampling:
    return sampling if sampling.seed is not None else replace(sampling, seed=secrets.randbits(32))


def _room(prompt: int, context: int, length: int) -> int:
    if prompt >= context:
        raise EngineError(
            f"The conversation needs {prompt} tokens and the context holds {context}.",
            "Use /context N, /undo or /clear, or send less.",
        )
    return min(length, context - prompt)
