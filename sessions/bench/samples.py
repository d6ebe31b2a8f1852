"""An answer's raw figures as one row: see docs/results.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..turns import ratio
from .answers import MEASURES, Answer
from .derived import is_remote
from .result import Result

_COUNTS = ("completion_tokens", "decode_tokens")  # which only a server can tell of its answers

FIELDS: Mapping[str, Callable[[Answer], Any]] = {
    "case": lambda a: a.case,
    "method": lambda a: a.method,
    "run": lambda a: a.number,
    "warmup": lambda a: a.warmup,
    "cache_state": lambda a: "cold" if a.cold else "warm",
    "finish_reason": lambda a: a.reason,
    "prompt_tokens": lambda a: a.prompt_tokens,
    "cached_tokens": lambda a: a.cached_tokens,
    "completion_tokens": lambda a: a.tokens,
    "decode_tokens": lambda a: a.decode_tokens,
    "ttft_ms": MEASURES["ttft_ms"].of,
    "prompt_ms": lambda a: _ms(a.prompt_ns),
    "decode_ms": lambda a: _ms(a.decode_ns),
    "e2e_ms": MEASURES["e2e_ms"].of,
    "tpot_ms": MEASURES["tpot_ms"].of,
    "decode_tps": MEASURES["decode_tps"].of,
    "e2e_tps": MEASURES["e2e_tps"].of,
    "prefill_tps": MEASURES["prefill_tps"].of,
    "num_target_passes": lambda a: a.passes or None,
    "num_draft_tokens": lambda a: a.drafted or None,
    "num_accepted_draft_tokens": lambda a: a.accepted if a.drafted else None,
    "draft_acceptance_rate": lambda a: ratio(a.accepted, a.drafted),
    "mean_acceptance_length": MEASURES["mean_acceptance_length"].of,
    "drafted_by_position": lambda a: [each.drafted for each in a.positions],
    "accepted_by_position": lambda a: [each.accepted for each in a.positions],
    "peak_rss": lambda a: a.peak_rss,
    "peak_vram": lambda a: a.peak_vram,
    "other_load": lambda a: a.other_load,
    "prompt_digest": lambda a: a.prompt_words or None,
    "answer_digest": lambda a: a.words or None,
    "right": lambda a: a.right,
    "memory": lambda a: dict(a.memory),
}
COLUMNS = ("measured", *FIELDS)


def sample_rows(result: Result) -> list[dict[str, Any]]:
    """Of every answer in the order they came, warm-ups and unfinished ones too, the values of
    COLUMNS; what nobody told is None."""
    counted = set(map(id, result.measured))
    servers = {each for each in result.methods if is_remote(result, each)}
    return [_row(each, id(each) in counted, each.method in servers) for each in result.answers]


def _row(answer: Answer, measured: bool, remote: bool) -> dict[str, Any]:
    row = {"measured": measured} | {name: of(answer) for name, of in FIELDS.items()}
    return row | dict.fromkeys(_COUNTS) if remote and not answer.tokens else row


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e6
