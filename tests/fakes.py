"""An engine that says what a script says, for tests of everything above the engines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

from tokenhud.engines.events import (
    EngineError,
    Event,
    Loaded,
    Model,
    Prefill,
    Progress,
    Request,
    Scored,
    Scoring,
    Start,
    Step,
    Stop,
)
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log

MODEL = Model("Script", "script.gguf", "ab" * 32, "llama", 1_000, "F32", 256, 2048, "cd" * 32, (0,))
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Beat:
    """One step: what it emits and how long it takes. `wait` holds it until `engine.go` is set."""

    pieces: tuple[str, ...]
    drafted: int = 0
    accepted: int = 0
    ms: float = 25.0
    wait: bool = False


class ScriptedEngine:
    """Answers every request with the next of `scripts`, the last one again and again. An
    EngineError in a script ends that answer. On the virtual clock nothing sleeps."""

    def __init__(
        self,
        *scripts: Sequence[Beat | EngineError],
        real: bool = False,
        progress: Iterable[Progress] = (),
    ) -> None:
        self.go = threading.Event()
        self.ready = threading.Event()  # clear it to hold the loading of the model
        self.ready.set()
        self.requests: list[Request] = []
        self.closed = False
        self._scripts = list(scripts) or [words("Hello there.")]
        self._progress = list(progress)
        self._real = real
        self._now = 0
        self._cancelled = threading.Event()

    @property
    def pid(self) -> int:
        return os.getpid()

    def load(self, spec: Spec) -> Iterator[Event]:
        yield from self._progress
        self.ready.wait()
        self._sleep(50)
        yield Loaded(self._t(), MODEL, _resolved(spec), 50 * MS, {"weights": 1 << 20})

    def stream(self, request: Request) -> Iterator[Event]:
        self._cancelled.clear()
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        sampling = replace(request.sampling, seed=request.sampling.seed or 0)
        said = sum(len(m.content.split()) + 2 for m in request.messages)
        prompt = tuple(range(request.exact or said))
        cold, spec = len(self.requests) == 1, _resolved(request.spec)
        yield Start(self._t(), prompt, 0, cold, spec, sampling)
        self._sleep(100)
        yield Prefill(self._t(), len(prompt), len(prompt))
        yield from self._steps(script, request.sampling.length)

    def score(self, scoring: Scoring) -> Iterator[Event]:
        """Every token is half expected."""
        yield Start(self._t(), scoring.prompt, 0, False, _resolved(scoring.spec), Sampling())
        self._sleep(100)
        said = scoring.answer
        yield Scored(self._t(), said, (log(2),) * len(said), said)
        yield Stop(self._t(), "stop")

    def cancel(self) -> None:
        self._cancelled.set()
        self.go.set()
        self.ready.set()

    def close(self) -> None:
        self.cancel()
        self.closed = True

    def _steps(self, script: Sequence[Beat | EngineError], room: int) -> Iterator[Event]:
        for beat in script:
            if isinstance(beat, EngineError):
                yield Stop(self._t(), "error", what=beat.what, remedy=beat.remedy)
                return
            if beat.wait:
                self.go.wait()
                self.go.clear()
            self._sleep(beat.ms)
            if self._cancelled.is_set():
                yield Stop(self._t(), "cancelled")
                return
            pieces = beat.pieces[:room]
            room -= len(pieces)
            ids = tuple(ord(piece[0]) if piece else 0 for piece in pieces)
            kept, took = min(beat.accepted, len(pieces)), int(beat.ms * MS)
            drafting = took // 20 if beat.drafted else 0
            yield Step(ids, pieces, beat.drafted, kept, self._t(), drafting, took - drafting)
            if not room:
                break
        yield Stop(self._t(), "stop" if room else "length")

    def _sleep(self, ms: float) -> None:
        self._now += int(ms * MS)
        if self._real:
            self._cancelled.wait(ms / 1000)

    def _t(self) -> int:
        return time.perf_counter_ns() if self._real else self._now


def _resolved(spec: Spec) -> Spec:
    threads, context = spec.threads or 2, spec.context or 2048
    return replace(spec, target="native", threads=threads, context=context, device="cpu")


def words(text: str, ms: float = 25.0) -> list[Beat]:
    """One beat a word, spaces leading as tokenizers have it."""
    return [Beat((piece,), ms=ms) for piece in pieces(text)]


def pieces(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(" " + word for word in rest)]


def chat_with(engine: ScriptedEngine, folder: Path, spec: Spec | None = None) -> Chat:
    spec, sampling = spec or Spec(), Sampling()
    return Chat(engine, Log.create(folder, header(spec, sampling)), spec, sampling)
