"""How likely a text is under the target: each token given all before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .choosing import Target
from .events import EngineError, Event, Prefill, Scored, Stop
from .loop import prefill
from .pick import INVALID, Logits

ROWS = 64  # of logits a pass: in a large vocabulary they are 40 MB


def score(
    target: Target,
    prompt: Sequence[int],
    answer: Sequence[int],
    chunk: int,
    clock: Callable[[], int],
    cancelled: Callable[[], bool],
) -> Iterator[Event]:
    """Feeds `prompt`, one token at least, and then `answer` as it stands, at most `chunk` tokens a
    pass. Ends with a Stop, which Scored precedes unless it was cancelled. Raises EngineError where
    the logits hold no usable number."""
    held = target.cached(prompt)
    total = len(prompt) + len(answer) - 1 - held  # nothing follows the last token
    surprisals: list[float] = []
    best: list[int] = []
    yield Prefill(clock(), 0, total)
    for done in prefill(target, prompt, chunk):
        yield Prefill(clock(), done, total)
        if cancelled():
            yield Stop(clock(), "cancelled")
            return
    tokens = [*prompt, *answer]
    for begin in range(0, len(answer), min(chunk, ROWS)):
        said = answer[begin : begin + min(chunk, ROWS)]
        end = len(prompt) + begin + len(said) - 1
        rows = target.logits(tokens[:end], len(said))
        surprisals += map(surprisal, rows, said)
        best += rows.argmax(axis=-1).tolist()
        yield Prefill(clock(), end - held, total)
        if cancelled():
            yield Stop(clock(), "cancelled")
            return
    yield Scored(clock(), tuple(answer), tuple(surprisals), tuple(best))
    yield Stop(clock(), "stop")


def surprisal(row: Logits, token: int) -> float:
    """-ln p of `token` by the logits `row` [vocab] at temperature 1, never below 0."""
    wide = row.astype(np.float64)
    with np.errstate(invalid="ignore"):  # told below
        wide -= wide.max()
    nats = float(np.log(np.exp(wide).sum()) - wide[token])
    if not np.isfinite(nats):
        raise EngineError(*INVALID)
    return nats
