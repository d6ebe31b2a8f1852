"""A method's answers as `vllm bench serve --save-result --save-detailed` writes requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np

from .answers import Answer
from .as_requests import latencies, told
from .derived import of_method, positions
from .result import Result

PERCENTILES = (50, 95, 99)


def vllm_bench(result: Result, method: str) -> dict[str, Any]:
    """One request after another; `duration` is the sum of their times. Answers without a time or a
    count, for which its lists have no word, are among the failed."""
    ended, raw = of_method(result, method), told(result, method)
    answers = [each for each in ended if each.ttft_ns and each.e2e_ns and each.tokens]
    tokens_in = [each.prompt_tokens or 0 for each in answers]
    tokens_out = [each.tokens for each in answers]
    seconds = [(each.e2e_ns or 0) / 1e9 for each in answers]
    details = [raw.get((each.case, each.number)) for each in answers]
    failed = _failed(result, method) + len(ended) - len(answers)
    loaded = result.model(method)
    name = loaded.model.name if loaded else ""
    return {
        "date": _date(result),
        "endpoint_type": "tokenhud",
        "backend": "tokenhud",
        "label": method,
        "model_id": name,
        "tokenizer_id": name,
        "num_prompts": len(answers) + failed,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 1,
        "duration": sum(seconds),
        "completed": len(answers),
        "failed": failed,
        "total_input_tokens": sum(tokens_in),
        "total_output_tokens": sum(tokens_out),
        "request_throughput": _a_second(len(answers), seconds),
        "request_goodput": None,
        "output_throughput": _a_second(sum(tokens_out), seconds),
        "total_token_throughput": _a_second(sum(tokens_in) + sum(tokens_out), seconds),
        "input_lens": tokens_in,
        "output_lens": tokens_out,
        "ttfts": [(each.ttft_ns or 0) / 1e9 for each in answers],
        "itls": [each.gaps if each else [] for each in details],
        "latencies": seconds,
        "generated_texts": [each.text if each else "" for each in details],
        "errors": [""] * len(answers),
        "max_concurrent_requests": 1,
        **_spec_decode(answers),
        **_statistics(latencies(answers, raw)._asdict()),
    }


def _statistics(found: dict[str, list[float]]) -> dict[str, float | None]:
    """As that tool has them: std of the population, percentiles of however few values."""
    told: dict[str, float | None] = {}
    for name, values in found.items():
        told |= {
            f"mean_{name}_ms": float(np.mean(values)) if values else None,
            f"median_{name}_ms": float(np.median(values)) if values else None,
            f"std_{name}_ms": float(np.std(values)) if values else None,
        }
        for q in PERCENTILES:
            told[f"p{q}_{name}_ms"] = float(np.percentile(values, q)) if values else None
    return told


def _spec_decode(answers: Sequence[Answer]) -> dict[str, Any]:
    """Only where something was drafted. The rate is in percent, the length counts the target's own
    token of each pass."""
    drafted = sum(each.drafted for each in answers)
    accepted = sum(each.accepted for each in answers)
    drafts = max((each.drafted for each in positions(answers)), default=0)
    if not drafted:
        return {}
    return {
        "spec_decode_acceptance_rate": 100 * accepted / drafted,
        "spec_decode_acceptance_length": 1 + accepted / drafts if drafts else None,
        "spec_decode_num_drafts": drafts,
        "spec_decode_draft_tokens": drafted,
        "spec_decode_accepted_tokens": accepted,
        "spec_decode_per_position_acceptance_rates": [
            each.accepted / drafts for each in positions(answers)
        ],
    }


def _failed(result: Result, method: str) -> int:
    mine = (each for each in result.answers if each.method == method and not each.warmup)
    return sum(each.reason in ("error", "cancelled") for each in mine)


def _a_second(count: int, seconds: Sequence[float]) -> float | None:
    took = sum(seconds)
    return count / took if count and took else None


def _date(result: Result) -> str:
    with suppress(ValueError, OverflowError):
        if result.header:
            return datetime.fromisoformat(result.header.created).strftime("%Y%m%d-%H%M%S")
    return ""
