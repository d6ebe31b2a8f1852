"""What quantisation costs and gains: the same weights in every form, on the chat itself."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from statistics import fmean, median
from typing import NamedTuple

from ..engines.events import (
    EngineError,
    Loaded,
    Message,
    Progress,
    Request,
    Scored,
    Scoring,
    Start,
    Step,
)
from ..engines.gguf_path import is_gguf
from ..engines.options import QUANTIZATIONS, Sampling, Spec
from .chat import Chat
from .prompts import PROMPTS
from .records import Record, Trial
from .summary import session_metrics, split_turns
from .trials import Attempt, attempted, ended
from .verify import Verified, compare

REFERENCE = QUANTIZATIONS[0]  # the weights as loaded, in the number format that is set
LLAMACPP = "llama.cpp"  # the GGUF as it is
ROUNDS = 2  # loads of each form, the second time in the other order
RUNS = 2  # timed answers in each load
LENGTH = 64  # most tokens of an answer
SCORED = 1_000  # most tokens of the chat's answers that are judged
WARM_UP = (Message("user", "Hello."),), Sampling(length=8)
QUESTIONS = ("dialogue", "code", "long")  # where the chat has no answer yet
LOSS = 0.01  # of perplexity that a recommendation may cost


class Passage(NamedTuple):
    """An answer and what it answers, in token ids."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One form of the weights. Perplexity is exp of the mean surprisal of the judged tokens."""

    kind: str
    memory: Mapping[str, int]  # bytes by component, after an answer
    load_ns: int | None  # the shortest: the first one of a process reads libraries too
    prefill_rate: float | None  # tokens/s
    ttft_ns: float | None  # median, of a prompt that is not held
    decode_rate: float | None  # tokens/s, median
    speedup: float | None  # of decoding, over the reference
    perplexity: float
    loss: float  # how much higher it is than the reference's, in parts of that
    agreement: float  # share of the places where both find the same token likeliest
    words: Verified  # of a greedy answer, beside the reference's


@dataclass(frozen=True, slots=True)
class Comparison:
    rows: tuple[Row, ...]  # the reference first
    skipped: Mapping[str, str]  # what could not be compared, and why
    answers: int  # judged
    tokens: int  # of these
    asked: bool  # the answers are the chat's own
    prompt: int  # tokens that a prefill evaluated
    length: int  # most tokens of a timed answer
    dtype: str  # of the reference
    file: str  # how the file holds the weights: "Q4_1", "none"

    @property
    def recommended(self) -> Row | None:
        """The fastest whose perplexity is no more than LOSS higher, where it is faster."""
        fit = [each for each in self.rows[1:] if each.loss <= LOSS and (each.speedup or 0) > 1]
        return max(fit, key=lambda each: each.speedup or 0, default=None)


@dataclass(slots=True)
class Tried:
    """What was measured of one form of the weights."""

    loads: list[Loaded] = field(default_factory=list)
    answers: list[Attempt] = field(default_factory=list)  # the first after each warm-up
    runs: list[Attempt] = field(default_factory=list)  # timed; their prompt is held
    scores: list[Scored] = field(default_factory=list)


def forms(spec: Spec) -> dict[str, Spec]:
    """Every form that may hold the weights of `spec`, the reference first."""
    target = "auto" if spec.target == "llamacpp" else spec.target
    torch = replace(spec, drafter="plain", target=target)
    found = {kind: replace(torch, quantize=kind) for kind in QUANTIZATIONS}
    if spec.dtype == "bfloat16":
        del found["bf16"]  # is the reference
    if is_gguf(spec.model):
        found[LLAMACPP] = replace(found[REFERENCE], target="llamacpp")
    return found


def passages(records: Iterable[Record], model: str) -> list[Passage]:
    """The last answers of `model`, the latest first, SCORED tokens at most."""
    found: list[Passage] = []
    left = SCORED
    for turn in reversed(split_turns(records)):
        start = next((each for each in turn.events if isinstance(each, Start)), None)
        steps = (each for each in turn.events if isinstance(each, Step))
        answer = tuple(token for step in steps for token in step.tokens)[:left]
        if start and answer and start.spec.model == model:
            found.append(Passage(start.prompt, answer))
            left -= len(answer)
    return found


def compare_quant(chat: Chat) -> Generator[Progress, None, Comparison]:
    """Loads each form twice, answers the last message with it, and judges the chat's answers by
    it; then loads what the chat uses. Where there is nothing yet, the reference answers QUESTIONS.
    Raises EngineError where the reference cannot run, and CancelledError."""
    specs = forms(chat.spec)
    tried = {kind: Tried() for kind in specs}
    skipped: dict[str, str] = {}
    own = passages(chat.log.records, chat.spec.model)
    said = list(own)
    order = [kind for turn in range(ROUNDS) for kind in [*specs][:: 1 - turn % 2 * 2]]
    for done, kind in enumerate(order):
        if kind in skipped:
            continue
        try:
            for step in _measure(chat, specs[kind], tried[kind], said, tried[REFERENCE]):
                yield Progress(time.perf_counter_ns(), f"{kind}: {step}", done, len(order))
        except EngineError as error:
            if kind == REFERENCE:
                raise
            skipped[kind] = str(error)
    file = yield from _reload(chat)
    rows = tuple(row(kind, tried[kind], tried[REFERENCE]) for kind in specs if kind not in skipped)
    return Comparison(
        rows,
        skipped,
        answers=len(said),
        tokens=sum(len(each.answer) for each in said),
        asked=bool(own),
        length=min(LENGTH, chat.sampling.length),
        prompt=tried[REFERENCE].answers[0].metrics.evaluated_tokens or 0,
        dtype=chat.spec.dtype,
        file=file,
    )


def _reload(chat: Chat) -> Generator[Progress, None, str]:
    """Makes ready what the chat uses, and tells how the file holds the weights."""
    file = "none"
    for event in chat.load():
        if isinstance(event, Progress):
            yield event
        elif isinstance(event, Loaded):
            file = event.model.quantization
    return file


def row(kind: str, tried: Tried, reference: Tried) -> Row:
    rate, base = _decode_rate(tried), _decode_rate(reference)
    perplexity = _perplexity(tried.scores)
    answers = [each.metrics for each in tried.answers]
    stop = tried.runs[-1].metrics.stop
    return Row(
        kind,
        memory=(stop.memory if stop else None) or {},
        load_ns=min((each.load_ns for each in tried.loads), default=None),
        prefill_rate=session_metrics(answers).prefill_rate,
        ttft_ns=_median(each.ttft_ns for each in answers),
        decode_rate=rate,
        speedup=rate / base if rate and base else None,
        perplexity=perplexity,
        loss=perplexity / _perplexity(reference.scores) - 1,
        agreement=_agreement(tried.scores, reference.scores),
        words=compare(kind, reference.answers[0], tried.answers[0]),
    )


def _measure(
    chat: Chat, spec: Spec, tried: Tried, said: list[Passage], reference: Tried
) -> Iterator[str]:
    """One load of one form: tells each step before it is done. `said` is filled where it is empty.
    The warm-up answers another message, so that the prompt is not held."""
    yield "loading"
    loaded = _answer(chat, spec, *WARM_UP).loaded
    tried.loads += [loaded] if loaded else []
    yield "answering"
    questions = _questions(chat)
    sampling = Sampling(length=min(LENGTH, chat.sampling.length), seed=0)
    tried.answers.append(_answer(chat, spec, questions[0], sampling, margins=True))
    _require_same_ids(tried.answers[0].start, reference.answers[0].start)
    tried.runs += [_answer(chat, spec, questions[0], sampling) for _ in range(RUNS)]
    if not said:
        answers = [_answer(chat, spec, each, sampling) for each in questions]
        said += [Passage(each.start.prompt, each.tokens) for each in answers]
    if not tried.scores:
        yield "judging"
        tried.scores = [_score(chat, spec, each) for each in said]


def _questions(chat: Chat) -> list[tuple[Message, ...]]:
    if chat.exchanges:
        return [chat.messages()]
    return [(*chat.messages(), Message("user", PROMPTS[name])) for name in QUESTIONS]


def _answer(
    chat: Chat,
    spec: Spec,
    messages: tuple[Message, ...],
    sampling: Sampling,
    margins: bool = False,
) -> Attempt:
    request = Request(messages, spec, sampling, margins)
    return attempted(chat.beside(_trial(chat, messages), request))


def _score(chat: Chat, spec: Spec, passage: Passage) -> Scored:
    events = ended(chat.beside(_trial(chat), Scoring(*passage, spec)))
    return next(each for each in events if isinstance(each, Scored))


def _trial(chat: Chat, messages: tuple[Message, ...] = ()) -> Trial:
    last = bool(chat.exchanges) and messages == chat.messages()
    return Trial("quant", chat.exchanges[-1].turn_id if last else None, swaps=True)


def _require_same_ids(here: Start, there: Start) -> None:
    if here.prompt != there.prompt:
        raise EngineError(
            "Its tokenizer makes other ids of the message, so its figures mean something else."
        )


def _decode_rate(tried: Tried) -> float | None:
    return _median(each.metrics.decode_rate for each in tried.runs)


def _median(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return median(known) if known else None


def _perplexity(scores: Sequence[Scored]) -> float:
    return exp(fmean(nats for each in scores for nats in each.surprisals))


def _agreement(scores: Sequence[Scored], reference: Sequence[Scored]) -> float:
    pairs = zip(scores, reference, strict=True)
    return fmean(a == b for one, other in pairs for a, b in zip(one.best, other.best, strict=True))
