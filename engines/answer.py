"""One answer as events: the prompt is read, then the loop or a beam search runs to an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

from .beam import beam_search
from .drafters import Drafter
from .events import Event, Prefill, Preview, Reason, Step, Stop
from .loop import Block, Gamma, Held, decode, prefill
from .options import Sampling
from .parts import Speech, Speller

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Answering:
    """All that one answer needs."""

    target: Held
    text: Speech
    drafter: Drafter
    gamma: Gamma
    prompt: Sequence[int]
    sampling: Sampling
    room: int  # most tokens
    chunk: int  # prompt tokens a pass: how long a cancel can take
    margins: bool


def answer(asked: Answering, clock: Clock, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Ends with a Stop, which does not tell the memory."""
    yield from _read(asked, clock, cancelled)
    if cancelled():
        yield Stop(clock(), "cancelled")
    elif asked.sampling.num_beams > 1:
        yield from _search(asked, clock, cancelled)
    else:
        yield from _decode(asked, clock, cancelled)


def _read(asked: Answering, clock: Clock, cancelled: Callable[[], bool]) -> Iterator[Event]:
    total = len(asked.prompt) - asked.target.cached(asked.prompt)
    yield Prefill(clock(), 0, total)
    for done in prefill(asked.target, asked.prompt, asked.chunk):
        yield Prefill(clock(), done, total)
        if cancelled():
            return


def _decode(asked: Answering, clock: Clock, cancelled: Callable[[], bool]) -> Iterator[Event]:
    stop = asked.text.stop_ids
    text = asked.text.detokeniser()
    reason: Reason = "length"
    asked.drafter.begin(asked.prompt, asked.sampling)
    for block in decode(
        asked.target,
        asked.drafter,
        asked.prompt,
        asked.sampling,
        asked.gamma,
        _ends(asked),
        asked.room,
        clock,
        asked.margins,
    ):
        now = clock()
        pieces, rejected = _spelled(block, text, stop)
        yield Step(
            block.tokens,
            pieces,
            block.drafted,
            block.accepted,
            now,
            block.draft_ns,
            block.pass_ns,
            block.margins,
            rejected,
        )
        if block.tokens[-1] in _ends(asked):
            reason = "stop"
        elif cancelled():
            reason = "cancelled"
            break
    yield Stop(clock(), reason, text.flush())


def _search(asked: Answering, clock: Clock, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Tokens are emitted once all beams agree on them; what the best one goes on with is shown."""
    stop = asked.text.stop_ids
    text = asked.text.detokeniser()
    reason: Reason = "length"
    emitted: list[int] = []
    said = 0
    ends = _ends(asked)
    for beam in beam_search(asked.target, asked.prompt, asked.sampling, ends, asked.room, clock):
        now = clock()
        emitted += beam.tokens
        pieces = _pieces(beam.tokens, text, stop)
        said += sum(map(len, pieces))
        yield Step(beam.tokens, pieces, 0, 0, now, 0, beam.pass_ns)
        whole = "".join(_pieces([*emitted, *beam.preview], asked.text.detokeniser(), stop))
        yield Preview(now, whole[said:])
        if beam.tokens and beam.tokens[-1] in ends:
            reason = "stop"
        elif cancelled():
            reason = "cancelled"
            break
    yield Stop(clock(), reason, text.flush())


def _ends(asked: Answering) -> frozenset[int]:
    return frozenset() if asked.sampling.ignore_eos == "on" else asked.text.stop_ids


def _spelled(block: Block, text: Speller, stop: frozenset[int]) -> tuple[tuple[str, ...], str]:
    """The pieces of a block, and what the rejected drafts would have said in their place."""
    kept = _pieces(block.tokens[: block.accepted], text, stop)
    rejected = _pieces(block.rejected, copy(text), stop) if block.rejected else ()
    return kept + _pieces(block.tokens[block.accepted :], text, stop), "".join(rejected)


def _pieces(tokens: Sequence[int], text: Speller, stop: frozenset[int]) -> tuple[str, ...]:
    return tuple("" if token in stop else text.push(token) for token in tokens)
