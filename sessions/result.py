"""A turn's figures as JSON, under the names that other tools use: see docs/log.md."""

from __future__ import annotations

from typing import Any

from .turns import TurnMetrics


def result(turn: TurnMetrics) -> dict[str, Any]:
    """Absent figures are None. `itl_ms` are gaps between steps, `step_tokens` what each emitted."""
    return {
        "finish_reason": turn.reason,
        "prompt_tokens": turn.prompt_tokens,
        "cached_tokens": turn.cached_tokens,
        "completion_tokens": turn.completion_tokens,
        "cache_state": "cold" if turn.cold else "warm",
        "ttft_ms": _ms(turn.ttft_ns),
        "network_adjusted_ttft_ms": _ms(turn.adjusted_ttft_ns),
        "tpot_ms": _ms(turn.tpot_ns),
        "e2e_ms": _ms(turn.e2e_ns),
        "decode_tps": turn.decode_rate,
        "e2e_tps": turn.e2e_rate,
        "prefill_tps": turn.prefill_rate,
        "itl_ms": [gap.ns / 1e6 for gap in turn.gaps],
        "step_tokens": [turn.first_tokens, *(gap.tokens for gap in turn.gaps)],
        "spec_decode": _spec_decode(turn),
        "memory": turn.stop.memory if turn.stop else None,
    }


def _spec_decode(turn: TurnMetrics) -> dict[str, Any] | None:
    if not turn.drafted:
        return None
    return {
        "num_spec_steps": turn.passes or None,
        "num_draft_tokens": turn.drafted,
        "num_accepted_draft_tokens": turn.accepted,
        "draft_acceptance_rate": turn.acceptance,
        "mean_acceptance_length": turn.mean_accepted_length,
        "acceptance_by_position": [each.acceptance for each in turn.positions],
    }


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6
