"""Whether the engine loads and answers: a server where one is set, else this machine."""

from __future__ import annotations

from collections.abc import Iterator

from ...engines.events import Engine, Event, Loaded, Message, Progress, Request, Stop
from ...engines.options import Sampling, Spec
from ...engines.remote_address import COMMON_KEY, OWN_KEY, key
from .. import figures
from ..clean import one_line
from ..metrics import Meter
from ..turns import TurnMetrics
from .check import Check

GROUP = "engine"
QUESTION = "Name three colours."
LENGTH = 16  # tokens of an answer


def secret(spec: Spec) -> Iterator[Check]:
    """Whether the server gets a key and where it is from; never the key."""
    if not spec.url:
        return
    found = key(spec.url)
    if found is None:
        said = "No key is sent to the server."
        yield Check("server", "key", "note", said, f"Set {OWN_KEY} or {COMMON_KEY} if it asks.")
    elif found.problem:
        yield Check("server", "key", "fault", found.problem, "Set it again.")
    else:
        yield Check("server", "key", "ok", f"One is sent, from {found.source}.")


def self_test(engine: Engine, spec: Spec) -> Iterator[Check | Loaded | Progress]:
    """Loads what `spec` names and answers twice, LENGTH tokens each: after a load the first is
    slower. Says Loaded too."""
    yield from secret(spec)
    last: Event | None = None
    for last in engine.load(spec):
        if isinstance(last, Progress | Loaded):
            yield last
    if not isinstance(last, Loaded):
        yield _failed("load", last)
        return
    yield load_check(last)
    for name in ("first", "next"):
        told, end = _answer(engine, spec)
        if not told.finished:
            yield _failed("answer", end)
            return
        yield _answered(name, told)


def _answer(engine: Engine, spec: Spec) -> tuple[TurnMetrics, Event | None]:
    sampling = Sampling(length=LENGTH, ignore_eos="on")
    meter, event = Meter(), None
    for event in engine.stream(Request((Message("user", QUESTION),), spec, sampling)):
        meter.add(event)
    return meter.metrics(), event


def _failed(what: str, event: Event | None) -> Check:
    if isinstance(event, Stop) and event.what:
        return Check(GROUP, what, "fault", one_line(event.what), one_line(event.remedy))
    return Check(GROUP, what, "fault", "It was cancelled.", "tokenhud doctor tries again.")


def load_check(loaded: Loaded) -> Check:
    spec, took = loaded.spec, figures.elapsed(loaded.load_ns)
    name = one_line(loaded.model.name, 60)
    if spec.url:
        notes = one_line(loaded.notes[0], 100) if loaded.notes else ""
        return Check("server", "server", "ok", f"{name} at {one_line(spec.url)}. {notes}".rstrip())
    held = figures.size(sum(loaded.memory.values()))
    way = f"{spec.target}, {figures.weights(spec)}, {spec.device}"
    return Check(GROUP, "load", "ok", f"{name} by {way}: {took}, {held}.")


def _answered(name: str, told: TurnMetrics) -> Check:
    said = (
        f"{figures.count(told.completion_tokens)} tokens, TTFT {figures.elapsed(told.ttft_ns)}, "
        f"{figures.rate(told.decode_rate)} tok/s{', cold' if told.cold else ''}."
    )
    return Check(GROUP, name, "ok", said)
