"""Saved sessions made of the words that were said, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenhud.engines.events import Loaded, Prefill, Reason, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.encoding import to_line
from tokenhud.sessions.records import Header, Record, Turn

from .fakes import MODEL, MS

CREATED = "2026-01-02T03:04:05+00:00"
HEADER = Header(1, CREATED, "1.0", {"cpu": "some"}, Spec(), Sampling())


def turn(
    number: int,
    text: str,
    pieces: Sequence[str],
    spec: Spec | None = None,
    reason: Reason = "stop",
    ms: int = 25,
) -> list[Record]:
    """A turn whose prompt has 10 tokens; a token takes `ms`, the first one 100 ms. Its first
    answer is cold. A drafter keeps one token of two."""
    spec, t0 = spec or Spec(), number * 10**12
    t1 = t0 + 100 * MS
    drafted = 0 if spec.drafter == "plain" else 2
    steps = [
        Step((7,), (piece,), drafted, drafted // 2, t1 + n * ms * MS, 0, ms * MS)
        for n, piece in enumerate(pieces)
    ]
    start = Start(t0, tuple(range(10)), 4, number == 1, spec, Sampling(seed=5))
    end = Stop(t1 + len(pieces) * ms * MS, reason)
    return [Turn(number, text, CREATED), start, Prefill(t0, 0, 6), *steps, end]


def session(*parts: Iterable[Record]) -> list[Record]:
    """A whole log: header, model, then `parts`."""
    loaded = Loaded(0, MODEL, Spec(), 5, {"weights": 1})
    return [HEADER, loaded, *(record for part in parts for record in part)]


def save(folder: Path, name: str, *parts: Iterable[Record]) -> Path:
    path = folder / f"{name}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines(session(*parts)))
    return path


def lines(records: Iterable[Record]) -> bytes:
    return "".join(f"{to_line(each, n)}\n" for n, each in enumerate(records)).encode()
