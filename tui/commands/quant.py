"""The slash command that compares forms of the weights, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from ...engines.events import Stop
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.quant import (
    LLAMACPP,
    LOSS,
    REFERENCE,
    ROUNDS,
    RUNS,
    Comparison,
    Row,
    compare_quant,
)
from ...sessions.records import outside_trials
from ...sessions.verify import Verified
from .grammar import Reply, Told, Value
from .remote import NO_TOKENS
from .trial import told

BEGIN = (
    "Every form of the weights is loaded twice, answers the last message and judges the "
    "answers of this chat. It takes minutes; Esc ends it."
)
COSTS = (
    f"{'':9} weights   KV  load prefill  decode     ×",
    f"{'':9}     MiB  MiB     s   tok/s   tok/s",
)
QUALITY = f"{'':9} perplexity   Δ %  top-1  words"
FEW = 200  # judged tokens, below which their perplexities say little
OWN = ("weights", "kv_cache")  # columns; what else is held does not depend on the form


def compare_command(chat: Chat, _: tuple[Value, ...]) -> Reply:
    if chat.spec.url:
        return Reply(NO_TOKENS, ok=False)
    return Reply("", job=lambda: told(_compared(chat)))


def _compared(chat: Chat) -> Told:
    yield BEGIN
    comparison = yield from compare_quant(chat)
    yield "\n".join([quant_table(comparison), *_beside(chat)])


def quant_table(comparison: Comparison) -> str:
    """What each form costs and how good it is, in 60 columns; then what is left out, and what
    follows."""
    rows = comparison.rows
    skipped = [f"{kind} is left out: {one_line(why)}" for kind, why in comparison.skipped.items()]
    costs, quality = (*COSTS, *map(_costs, rows)), (QUALITY, *map(_quality, rows))
    return "\n".join([_judged(comparison), *costs, *quality, *skipped, _advice(comparison)])


def quant_json(comparison: Comparison) -> str:
    best = comparison.recommended
    record = asdict(comparison) | {"recommended": best.kind if best else None}
    return json.dumps(record, allow_nan=False)


def _judged(comparison: Comparison) -> str:
    whose = "this chat's answers" if comparison.asked else "answers made for the comparison"
    held = "" if comparison.file == "none" else f" of the file's {one_line(comparison.file)}"
    return (
        f"The reference is {REFERENCE}: {comparison.dtype}{held}.\n"
        f"Judged: {comparison.tokens} tokens of {whose} ({comparison.answers}).\n"
        f"Prefill reads {comparison.prompt} tokens; decode is the median of {ROUNDS * RUNS} "
        f"answers of at most {comparison.length} tokens."
    )


def _costs(row: Row) -> str:
    load = figures.ABSENT if row.load_ns is None else f"{row.load_ns / 1e9:.1f}"
    return (
        f"{row.kind:9}{_mib(row.memory.get('weights')):>8}{_mib(row.memory.get('kv_cache')):>5}"
        f"{load:>6}{figures.rate(row.prefill_rate):>8}{figures.rate(row.decode_rate):>8}"
        f"{figures.factor(row.speedup):>6}"
    )


def _quality(row: Row) -> str:
    loss = figures.ABSENT if row.kind == REFERENCE else f"{row.loss * 100:+.2f}"
    return (
        f"{row.kind:9}{row.perplexity:>11.3f}{loss:>7}{figures.percent(row.agreement):>6}"
        f"  {_words(row.words)}"
    )


def _mib(size: int | None) -> str:
    return figures.ABSENT if size is None else f"{size / 2**20:,.0f}"


def _words(words: Verified) -> str:
    """Beside the reference's: the same, or what the lead was where they part."""
    if words.position is not None:
        return f"from token {words.position + 1}, lead {words.margin:.2g}"
    return "same" if words.verdict == "identical" else "end elsewhere"


def _advice(comparison: Comparison) -> str:
    best = comparison.recommended
    if best is None:
        return f"None is faster within {LOSS:.0%} of the reference's perplexity: stay with it."
    few = "" if comparison.tokens >= FEW else " Few tokens were judged: a longer chat tells more."
    name = "/runtime llamacpp" if best.kind == LLAMACPP else f"/quantize {best.kind}"
    return (
        f"Recommended here: {best.kind}, {figures.factor(best.speedup)}× as fast, perplexity "
        f"{best.loss * 100:+.2f} %. {name} sets it.{few}"
    )


def _beside(chat: Chat) -> Iterator[str]:
    """What the chat's own last answer held besides weights and KV cache."""
    stops = [each for each in outside_trials(chat.log.records) if isinstance(each, Stop)]
    memory = next((each.memory for each in reversed(stops) if each.memory), {})
    others = {name: size for name, size in memory.items() if name not in OWN}
    if others:
        held = ", ".join(f"{name} {figures.size(size)}" for name, size in others.items())
        yield f"Held beside them by the last answer: {held}."
