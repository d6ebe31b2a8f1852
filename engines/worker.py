"""The child process: requests on standard input, events on standard output, both pickled.

Pickle is safe here: both ends are this program and the channel is a private pipe.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .events import Engine, Event, Stop
from .local import LocalEngine
from .remote_routing import Routed


def main() -> None:
    from .opening import open_model

    serve(Routed(LocalEngine(open_model), _open_remote))


def _open_remote() -> Engine:
    from .remote import RemoteEngine  # only a chat with a server needs HTTP

    return RemoteEngine()


def serve(engine: Engine) -> None:
    """Answers requests until standard input ends; then the whole process ends at once."""
    for name in ("SIGINT", "SIGHUP"):  # the person's Ctrl+C and hang-up are for the screen
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    requests, events = sys.stdin.buffer, _claim_stdout()
    waiting: queue.Queue[Iterator[Event]] = queue.Queue()
    threading.Thread(target=_read, args=(requests, waiting, engine), daemon=True).start()
    while True:
        for event in _guarded(waiting.get()):
            pickle.dump(event, events)
            events.flush()


def _claim_stdout() -> IO[bytes]:
    """The event channel; whatever C libraries print from now on goes to the report instead."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def _read(requests: IO[bytes], waiting: queue.Queue[Iterator[Event]], engine: Engine) -> None:
    calls: dict[str, Callable[[Any], Iterator[Event]]]
    calls = {"load": engine.load, "stream": engine.stream, "score": engine.score}
    while True:
        try:
            kind, body = pickle.load(requests)
        except EOFError:
            os._exit(0)  # the screen is gone: no work is worth finishing
        if kind == "cancel":
            engine.cancel()
        else:
            waiting.put(calls[kind](body))


def _guarded(events: Iterator[Event]) -> Iterator[Event]:
    try:
        yield from events
    except Exception as error:  # a bug, or memory: told whole in the report, in short on screen
        traceback.print_exc()
        sys.stderr.flush()
        yield Stop(time.perf_counter_ns(), "error", what=_short(error), remedy=_remedy(error))


def _short(error: Exception) -> str:
    if _is_memory(error):
        return "There is not enough memory for this."
    last = (str(error).strip() or "no message").splitlines()[-1]
    return f"The engine failed: {type(error).__name__}: {last}"


def _remedy(error: Exception) -> str:
    if _is_memory(error):
        return "Use a smaller /context, a smaller model, or close other programs."
    return f"The whole report is in {_report_path()}."


def _is_memory(error: Exception) -> bool:
    # torch raises a plain RuntimeError for the host's memory; its text is the only sign
    signs = ("out of memory", "not enough memory", "allocate memory")
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in signs)


def _report_path() -> str:
    try:
        return str(Path("/proc/self/fd/2").readlink())
    except OSError:
        return "the engine's log"


if __name__ == "__main__":
    main()
