"""A saved turn as one flat row, for tables and spreadsheets."""

from __future__ import annotations

from typing import Any

from .result import result
from .saved import SavedTurn

_SPEC = {
    "model": "model",
    "target": "target",
    "drafter": "drafter",
    "num_speculative_tokens": "gamma",
    "gamma_policy": "gamma_policy",
    "quantize": "quantize",
    "dtype": "dtype",
    "device": "device",
}
_SAMPLING = ("temperature", "seed", "num_beams")
_FIGURES = (
    "finish_reason",
    "cache_state",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "ttft_ms",
    "network_adjusted_ttft_ms",
    "tpot_ms",
    "e2e_ms",
    "decode_tps",
    "e2e_tps",
    "prefill_tps",
)
_DRAFTS = (
    "num_spec_steps",
    "num_draft_tokens",
    "num_accepted_draft_tokens",
    "draft_acceptance_rate",
    "mean_acceptance_length",
)
COLUMNS = (
    *("turn_id", "created", *_SPEC, *_SAMPLING, *_FIGURES, *_DRAFTS),
    *("error", "prompt", "answer"),
)


def turn_row(saved: SavedTurn) -> dict[str, Any]:
    """The values of `COLUMNS`: settings as used, figures as `result` names them, None where
    absent."""
    found, start, stop = result(saved.metrics), saved.metrics.start, saved.metrics.stop
    drafts = found["spec_decode"] or {}
    return {
        "turn_id": saved.turn.turn_id,
        "created": saved.turn.created,
        **{name: getattr(start.spec, ours) if start else None for name, ours in _SPEC.items()},
        **{name: getattr(start.sampling, name) if start else None for name in _SAMPLING},
        **{name: found[name] for name in _FIGURES},
        **{name: drafts.get(name) for name in _DRAFTS},
        "error": stop.what or None if stop else None,
        "prompt": saved.turn.text,
        "answer": saved.answer,
    }
