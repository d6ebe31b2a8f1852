"""The engine in this process: a target, a drafter and a text around the one loop."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from threading import Event as Flag
from typing import TypeVar, cast

from .answer import Answering, answer
from .drafting import Drafting, made_from, open_drafter, open_gamma
from .events import EngineError, Event, Loaded, Progress, Request, Scoring, Start, Stop
from .loop import Gamma
from .options import WEIGHTS, Sampling, Spec
from .parts import Opener, Parts, Speech
from .scoring import score

CHUNK = {"cpu": 64, "cuda": 512}  # prompt tokens a pass: how long a cancel can take
DRAFTERS_HELD = 8
T = TypeVar("T")


class LocalEngine:
    """Answers one request at a time, and keeps model, drafters and what they learned between."""

    def __init__(self, opener: Opener, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.pid = os.getpid()
        self._opener = opener
        self._clock = clock
        self._cancelled = Flag()
        self._parts: Parts | None = None
        self._asked: tuple[object, ...] = ()  # what the held parts were opened for
        self._loaded: Loaded | None = None  # what is told of them, and whether it still has to be
        self._untold = False
        self._draft: Parts | None = None  # the draft model used last
        self._drafting: dict[tuple[object, ...], Drafting] = {}  # by what each is made from
        self._gammas: dict[tuple[object, ...], Gamma] = {}
        self._cold = True

    # None is a generator function: a cancel counts from the call, not from the first event.
    def load(self, spec: Spec) -> Iterator[Event]:
        self._cancelled.clear()
        return self._reported(self._loading(spec))

    def stream(self, request: Request) -> Iterator[Event]:
        self._cancelled.clear()
        return self._reported(self._stream(request, accepted=self._clock()))

    def score(self, scoring: Scoring) -> Iterator[Event]:
        self._cancelled.clear()
        return self._reported(self._score(scoring, accepted=self._clock()))

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        self._drafting, self._gammas = {}, {}  # first: an early exit holds the target's weights
        held = (self._draft, self._parts)
        self._draft = self._parts = None
        self._asked = ()
        for each in held:
            if each:
                each.target.close()

    def _reported(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except EngineError as error:
            yield Stop(self._clock(), "error", what=error.what, remedy=error.remedy)

    def _loading(self, spec: Spec) -> Iterator[Event]:
        """Loaded comes last, also where all was held before: its reader leaves then."""
        ready = yield from self._opened(spec)
        if ready and self._loaded:
            self._untold = False
            yield self._loaded

    def _ready(self, spec: Spec) -> Generator[Event, None, tuple[Parts, Drafting] | None]:
        """As `_opened`, and tells what was loaded where nobody was told yet."""
        ready = yield from self._opened(spec)
        if ready and self._loaded and self._untold:
            self._untold = False
            yield self._loaded
        return ready

    def _opened(self, spec: Spec) -> Generator[Event, None, tuple[Parts, Drafting] | None]:
        """What `spec` needs, opened where what is held does not serve; None when cancelled."""
        parts = yield from self._load(spec)
        drafting = (yield from self._drafter(spec, parts)) if parts else None
        if parts is None or drafting is None:
            yield Stop(self._clock(), "cancelled")
            return None
        return parts, drafting

    def _load(self, spec: Spec) -> Generator[Event, None, Parts | None]:
        wanted = tuple(getattr(spec, name) for name in WEIGHTS)
        if self._parts and self._asked == wanted:
            return self._parts
        self.close()
        began = self._clock()
        parts = yield from self._unless_cancelled(self._opener(spec))
        if parts is None:
            return None
        self._parts, self._asked, self._cold = parts, wanted, True
        now = self._clock()
        memory = parts.target.memory()
        self._loaded = Loaded(now, parts.model, parts.spec, now - began, memory, parts.notes)
        self._untold = True
        return parts

    def _drafter(self, spec: Spec, parts: Parts) -> Generator[Event, None, Drafting | None]:
        """The drafter used last under these settings, with what it learned, or a new one."""
        key = made_from(spec)
        held = self._drafting.pop(key, None)
        if held is None:
            opening = open_drafter(spec, parts, self._draft_model)
            held = yield from self._unless_cancelled(opening)
        if held:
            self._drafting[key] = held
            for oldest in list(self._drafting)[:-DRAFTERS_HELD]:
                del self._drafting[oldest]
        return held

    def _draft_model(self, spec: Spec) -> Generator[Progress, None, Parts]:
        """One is held besides the target; another one takes its place."""
        if self._draft is None or self._draft.spec.model != spec.model:
            if self._draft:
                gone, self._draft = self._draft, None
                self._drafting = {
                    key: each
                    for key, each in self._drafting.items()
                    if each.model != gone.spec.model
                }
                gone.target.close()
            self._draft = yield from self._opener(spec)
        return self._draft

    def _gamma(self, spec: Spec) -> Gamma:
        """What was measured in earlier answers is kept, as long as the same is asked for."""
        key = (made_from(spec), spec.gamma_policy, spec.gamma)
        return self._gammas.setdefault(key, open_gamma(spec))

    def _unless_cancelled(
        self, opening: Generator[Progress, None, T]
    ) -> Generator[Progress, None, T | None]:
        while not self._cancelled.is_set():
            try:
                yield next(opening)
            except StopIteration as done:
                return cast("T", done.value)
        opening.close()
        return None

    def _stream(self, request: Request, accepted: int) -> Iterator[Event]:
        asked = _decided(request)
        if request.fresh:
            self._forget()
        ready = yield from self._ready(asked)
        if ready is None:
            return
        parts, drafting = ready
        prompt, notes = _prompt(request, parts.text)
        room = _room(len(prompt), parts.target.context, request.sampling)
        if room < request.sampling.length:
            notes = [*notes, f"The context leaves room for {room} tokens of answer."]
        sampling = _seeded(request.sampling)
        spec = _effective(asked, parts.spec, drafting)
        cached = parts.target.cached(prompt)
        cold, self._cold = self._cold, False
        yield Start(accepted, tuple(prompt), cached, cold, spec, sampling, tuple(notes))
        answering = Answering(
            target=parts.target,
            text=parts.text,
            drafter=drafting.drafter,
            gamma=self._gamma(spec),
            prompt=prompt,
            sampling=sampling,
            room=room,
            chunk=CHUNK[parts.spec.device],
            margins=request.margins,
        )
        yield from self._measured(answer(answering, self._clock, self._cancelled.is_set))

    def _score(self, asked: Scoring, accepted: int) -> Iterator[Event]:
        ready = yield from self._ready(asked.spec)
        if ready is None:
            return
        parts, drafting = ready
        if max(*asked.prompt, *asked.answer) >= parts.target.vocabulary:
            raise EngineError("The text has tokens that this model lacks.", "Score another text.")
        spec = _effective(asked.spec, parts.spec, drafting)
        cached = parts.target.cached(asked.prompt)
        yield Start(accepted, asked.prompt, cached, self._cold, spec, Sampling())
        chunk, cancelled = CHUNK[parts.spec.device], self._cancelled.is_set
        scoring = score(parts.target, asked.prompt, asked.answer, chunk, self._clock, cancelled)
        yield from self._measured(scoring)

    def _measured(self, events: Iterator[Event]) -> Iterator[Event]:
        """The Stop tells the memory."""
        for event in events:
            yield replace(event, memory=self._memory()) if isinstance(event, Stop) else event

    def _forget(self) -> None:
        """The weights stay, and nothing of what was said."""
        self._drafting, self._gammas = {}, {}
        for each in (self._parts, self._draft):
            if each:
                each.target.logits([], 0)

    def _memory(self) -> dict[str, int]:
        target = self._parts.target.memory() if self._parts else {}
        learned = sum(each.drafter.memory() for each in self._drafting.values())
        draft = sum(self._draft.target.memory().values()) if self._draft else 0
        held = {"drafters": learned, "draft_model": draft}
        return target | {name: size for name, size in held.items() if size}


def _decided(request: Request) -> Spec:
    """A beam search checks no drafts, so none are made."""
    searching = request.sampling.num_beams > 1
    return replace(request.spec, drafter="plain") if searching else request.spec


def _prompt(request: Request, text: Speech) -> tuple[list[int], list[str]]:
    if request.exact is None:
        return text.prompt(request.messages)
    said, ids = request.messages[-1].content, list[int]()
    while len(ids) < request.exact:
        longer = text.plain(said)
        if len(longer) <= len(ids):
            raise EngineError("The prompt has no text to repeat.", "Give one of some words.")
        said, ids = f"{said}\n\n{said}", longer
    return ids[: request.exact], []


def _effective(asked: Spec, opened: Spec, drafting: Drafting) -> Spec:
    """What is asked for, with the values of the fields that the opening decided."""
    decided = {name: getattr(opened, name) for name in WEIGHTS}
    if drafting.layers is not None:
        decided["draft_layers"] = drafting.layers
    return replace(asked, **decided)


def _seeded(sampling: Sampling) -> Sampling:
    return sampling if sampling.seed is not None else replace(sampling, seed=secrets.randbits(32))


def _room(prompt: int, context: int, sampling: Sampling) -> int:
    """Every beam may need positions of its own."""
    if prompt + sampling.num_beams > context:
        raise EngineError(
            f"The conversation needs {prompt} tokens and the context holds {context}.",
            "Use /context N, /undo or /clear, or send less.",
        )
    return min(sampling.length, (context - prompt) // sampling.num_beams)
