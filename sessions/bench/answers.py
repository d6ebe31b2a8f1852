"""The figures of an answer without its words, and how a measure follows from one or from many."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple

from ...engines.events import Loaded, Reason, Sample
from ...engines.options import Sampling, Spec
from ..turns import Position, TurnMetrics, rate, ratio
from .runs import Run


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Run took and gave; times in nanoseconds. Small, however long the answer was."""

    case: str
    method: str
    number: int
    warmup: bool
    cold: bool
    reason: Reason | None
    spec: Spec | None  # as used; None where the answer never began
    sampling: Sampling | None
    prompt_tokens: int | None
    cached_tokens: int | None
    evaluated_tokens: int | None
    tokens: int  # 0 too where a server does not tell it
    decode_tokens: int  # those after the first step
    passes: int  # of a server, those that checked a draft ...
    pass_tokens: int  # ... and what passes emitted
    drafted: int
    accepted: int
    positions: tuple[Position, ...]
    ttft_ns: int | None
    prompt_ns: int | None
    decode_ns: int | None
    e2e_ns: int | None
    tpot_ns: float | None
    memory: Mapping[str, int]  # bytes by component at the end
    peak_rss: int | None  # of the engine's process, as sampled once a second
    peak_vram: int | None
    other_load: float | None  # percent of the machine that others used, median
    prompt_words: str  # digest of the prompt's token ids
    words: str  # of the answer's
    right: bool | None  # it holds the expected text; None where none is
    loaded: Loaded | None  # the weights that answered; None where no load was told of

    @property
    def measured(self) -> bool:
        return self.reason in ("stop", "length") and not self.warmup and not self.cold


class Measure(NamedTuple):
    """`of` one answer; `over` the answers of one pass through all cases."""

    label: str
    unit: str
    better: str  # "higher", "lower", "" where neither is
    of: Callable[[Answer], float | None]
    over: Callable[[Sequence[Answer]], float | None]
    partial: bool = False  # `over` may be of answers that don't all have it


def answer(run: Run, expected: str = "", loaded: Loaded | None = None) -> Answer:
    turn = run.metrics
    samples = () if turn.remote else run.samples  # this machine's tell nothing of a server
    said = run.text.casefold()
    return Answer(
        case=run.case,
        method=run.method,
        number=run.number,
        warmup=run.warmup,
        cold=turn.cold,
        reason=turn.reason,
        spec=turn.start.spec if turn.start else None,
        sampling=turn.start.sampling if turn.start else None,
        prompt_tokens=turn.prompt_tokens,
        cached_tokens=turn.cached_tokens,
        evaluated_tokens=turn.evaluated_tokens,
        tokens=turn.tokens,
        decode_tokens=turn.decode_tokens,
        passes=turn.passes,
        pass_tokens=_pass_tokens(turn),
        drafted=turn.drafted,
        accepted=turn.accepted,
        positions=turn.positions,
        ttft_ns=turn.ttft_ns,
        prompt_ns=turn.prompt_ns,
        decode_ns=turn.decode_ns,
        e2e_ns=turn.e2e_ns,
        tpot_ns=turn.tpot_ns,
        memory=(turn.stop.memory if turn.stop else None) or {},
        peak_rss=_peak(each.engine_rss for each in samples),
        peak_vram=_peak(each.vram_engine for each in samples),
        other_load=_other_load(samples),
        prompt_words=_digest(turn),
        words=digest(run.tokens),
        right=expected.strip().casefold() in said if expected.strip() else None,
        loaded=loaded,
    )


def digest(tokens: Iterable[int]) -> str:
    """Of token ids; "" of none, as where a server tells none."""
    ids = array("q", tokens)
    return hashlib.sha256(ids.tobytes()).hexdigest()[:16] if ids else ""


def _pass_tokens(turn: TurnMetrics) -> int:
    """Of a server that tells its drafts, only those of passes that checked one."""
    return turn.accepted + turn.passes if turn.remote and turn.drafted else turn.tokens


def _digest(turn: TurnMetrics) -> str:
    return digest(turn.start.prompt if turn.start else ())


def _peak(values: Iterable[int | None]) -> int | None:
    return max((each for each in values if each is not None), default=None)


def _other_load(samples: Sequence[Sample]) -> float | None:
    loads = [
        max(0.0, each.cpu_percent - each.engine_cpu_percent)
        for each in samples
        if each.cpu_percent is not None and each.engine_cpu_percent is not None
    ]
    return median(loads) if loads else None


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def _rate(
    tokens: Callable[[Answer], int | None], ns: Callable[[Answer], int | None]
) -> Callable[[Sequence[Answer]], float | None]:
    """Sum of tokens over sum of times, of the answers that have both."""

    def over(answers: Sequence[Answer]) -> float | None:
        pairs = [(tokens(each), ns(each)) for each in answers]
        whole = [(n, took) for n, took in pairs if n and took]
        return rate(sum(n for n, _ in whole), sum(took for _, took in whole))

    return over


def _mean(of: Callable[[Answer], float | None]) -> Callable[[Sequence[Answer]], float | None]:
    def over(answers: Sequence[Answer]) -> float | None:
        known = [value for each in answers if (value := of(each)) is not None]
        return fmean(known) if known else None

    return over


def _highest(of: Callable[[Answer], float | None]) -> Callable[[Sequence[Answer]], float | None]:
    return lambda answers: max((v for each in answers if (v := of(each)) is not None), default=None)


def _summed(
    part: Callable[[Answer], int], whole: Callable[[Answer], int]
) -> Callable[[Sequence[Answer]], float | None]:
    return lambda answers: ratio(sum(map(part, answers)), sum(map(whole, answers)))


def _rated(
    label: str, tokens: Callable[[Answer], int | None], ns: Callable[[Answer], int | None]
) -> Measure:
    over = _rate(tokens, ns)
    return Measure(label, "tok/s", "higher", lambda each: over([each]), over)


def _timed(label: str, ns: Callable[[Answer], float | None]) -> Measure:
    def of(each: Answer) -> float | None:
        return _ms(ns(each))

    return Measure(label, "ms", "lower", of, _mean(of))


def _shared(
    label: str, unit: str, part: Callable[[Answer], int], whole: Callable[[Answer], int]
) -> Measure:
    over = _summed(part, whole)
    return Measure(label, unit, "higher", lambda each: over([each]), over)


def _held(label: str, of: Callable[[Answer], float | None]) -> Measure:
    """An answer may be too short for a reading, whatever its case."""
    return Measure(label, "bytes", "lower", of, _highest(of), partial=True)


MEASURES: Mapping[str, Measure] = {
    "decode_tps": _rated("decode", lambda a: a.decode_tokens, lambda a: a.decode_ns),
    "e2e_tps": _rated("end to end", lambda a: a.tokens, lambda a: a.e2e_ns),
    "prefill_tps": _rated("prefill", lambda a: a.evaluated_tokens, lambda a: a.prompt_ns),
    "ttft_ms": _timed("TTFT", lambda a: a.ttft_ns),
    "tpot_ms": _timed("TPOT", lambda a: a.tpot_ns),
    "e2e_ms": _timed("whole answer", lambda a: a.e2e_ns),
    "acceptance": _shared("acceptance", "", lambda a: a.accepted, lambda a: a.drafted),
    "mean_acceptance_length": _shared(
        "tokens a pass", "", lambda a: a.pass_tokens, lambda a: a.passes
    ),
    "peak_rss": _held("peak memory of the engine", lambda a: a.peak_rss),
    "peak_vram": _held("peak memory of the GPU", lambda a: a.peak_vram),
}
