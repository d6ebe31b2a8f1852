"""The engine in a child process behind the same `stream`: the screen never waits for torch, a
crash or an out-of-memory cannot end the chat, and closing gives all memory back."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from .events import EngineError, Event, Loaded, Request, Scoring, Stop
from .options import Spec

WORKER = "tokenhud.engines.worker"
CLOSE_SECONDS = 2.0


class ProcessEngine:
    """Starts its worker at once and again after a crash; one request at a time."""

    def __init__(self, worker: str = WORKER) -> None:
        self._worker = worker
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, spec: Spec) -> Iterator[Event]:
        return self._ask("load", spec)

    def stream(self, request: Request) -> Iterator[Event]:
        return self._ask("stream", request)

    def score(self, scoring: Scoring) -> Iterator[Event]:
        return self._ask("score", scoring)

    def cancel(self) -> None:
        with suppress(EngineError):  # a dead worker has nothing to cancel; the reader reports it
            self._send("cancel", None)

    def close(self) -> None:
        """Ends the worker whatever it is doing."""
        with suppress(OSError):
            self._requests.close()  # the worker ends at the end of its input
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._events.close()
        if self._report.exists() and self._report.stat().st_size == 0:
            self._report.unlink()

    def _start(self) -> None:
        handle, name = tempfile.mkstemp(prefix="tokenhud-engine-", suffix=".log")
        self._report = Path(name)
        # -P: a file named like a module in the person's folder must not be imported.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=handle,
        )
        os.close(handle)
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._events = cast("IO[bytes]", self._process.stdout)

    def _send(self, kind: str, body: Spec | Request | Scoring | None) -> None:
        try:
            pickle.dump((kind, body), self._requests)
            self._requests.flush()
        except (OSError, ValueError):
            raise EngineError("The engine process is not running.", self._remedy()) from None

    def _ask(self, kind: str, body: Spec | Request | Scoring) -> Iterator[Event]:
        if self._process.poll() is not None:
            self._start()
        ended = False
        try:
            self._send(kind, body)
            while not ended:
                event = self._receive()
                ended = _ends(kind, event)
                yield event
        except EngineError as error:
            ended = True
            yield Stop(time.perf_counter_ns(), "error", what=error.what, remedy=error.remedy)
        finally:
            if not ended:  # the reader left early: leave the channel clean for the next request
                self._drain(kind)

    def _drain(self, kind: str) -> None:
        self.cancel()
        with suppress(EngineError):
            while not _ends(kind, self._receive()):
                pass

    def _receive(self) -> Event:
        try:
            return cast("Event", pickle.load(self._events))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise EngineError(self._obituary(), self._remedy()) from None

    def _obituary(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"The engine process ended with status {code}."
        name = signal.Signals(-code).name
        hint = ", often for lack of memory" if name == "SIGKILL" else ""
        return f"The engine process was ended by {name}{hint}."

    def _remedy(self) -> str:
        return f"Send again to restart it; its own words are in {self._report}."


def _ends(kind: str, event: Event) -> bool:
    return isinstance(event, Stop) or (kind == "load" and isinstance(event, Loaded))
