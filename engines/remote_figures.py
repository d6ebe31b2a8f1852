"""What the blocks that servers add to a stream say, by the names of Served; None is not told."""

from __future__ import annotations

from typing import Any

MOST = 2**63 - 1


def from_usage(usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": as_count(usage.get("prompt_tokens")),
        "completion_tokens": as_count(usage.get("completion_tokens")),
        "cached_tokens": as_count(as_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
    }


def from_timings(timings: dict[str, Any]) -> dict[str, Any]:
    """llama-server. Its drafts are left out, and not 0, where it drafted nothing."""
    read, cached = as_count(timings.get("prompt_n")), as_count(timings.get("cache_n"))
    return {
        "prompt_tokens": read + cached if read is not None and cached is not None else None,
        "cached_tokens": cached,
        "completion_tokens": as_count(timings.get("predicted_n")),
        "server_ttft_ns": _ns(timings.get("prompt_ms")),
        "server_decode_ns": _ns(timings.get("predicted_ms")),
        "drafted": as_count(timings.get("draft_n")) or None,
        "accepted": as_count(timings.get("draft_n_accepted")) if timings.get("draft_n") else None,
    }


def from_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """vLLM, which counts the time to the first token from when the request left the queue."""
    drafts = as_dict(metrics.get("speculative_decoding"))
    first, queued = _ns(metrics.get("time_to_first_token_ms")), _ns(metrics.get("queue_time_ms"))
    return {
        "server_ttft_ns": None if first is None else first + (queued or 0),
        "server_decode_ns": _ns(metrics.get("generation_time_ms")),
        "drafted": as_count(drafts.get("num_draft_tokens")),
        "accepted": as_count(drafts.get("num_accepted_draft_tokens")),
        "spec_steps": as_count(drafts.get("num_spec_steps")),
        "acceptance_histogram": _counts(drafts.get("acceptance_histogram")),
    }


def from_sglang(extra: dict[str, Any]) -> dict[str, Any]:
    """Its drafted tokens are nominal: steps times the length of a draft."""
    drafts = as_dict(extra.get("spec_tokens_details"))
    return {
        "drafted": as_count(drafts.get("spec_num_proposed_drafts")),
        "accepted": as_count(drafts.get("spec_num_correct_drafts")),
        "spec_steps": as_count(drafts.get("spec_verify_ct")),
        "acceptance_histogram": _counts(drafts.get("spec_correct_drafts_histogram")),
    }


def from_lm_studio(stats: dict[str, Any]) -> dict[str, Any]:
    first = stats.get("time_to_first_token_seconds", stats.get("time_to_first_token"))
    return {
        "server_ttft_ns": _ns(first, 1e9),
        "drafted": as_count(stats.get("total_draft_tokens_count")),
        "accepted": as_count(stats.get("accepted_draft_tokens_count")),
    }


def reconcile(found: dict[str, Any]) -> None:
    """Figures that contradict one another are worth as much as none."""
    if (found.get("cached_tokens") or 0) > found.get("prompt_tokens", MOST):
        del found["cached_tokens"]
    if (found.get("accepted") or 0) > found.get("drafted", MOST):
        del found["accepted"], found["drafted"]
    histogram = found.get("acceptance_histogram")
    if histogram and sum(histogram) != found.get("spec_steps", sum(histogram)):
        del found["acceptance_histogram"]


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST else None


def _counts(value: Any) -> tuple[int, ...] | None:
    known = [each for each in map(as_count, as_list(value)) if each is not None]
    return tuple(known) if known and len(known) == len(as_list(value)) else None


def _ns(value: Any, unit: float = 1e6) -> int | None:
    fits = type(value) in (int, float) and 0 <= value * unit <= MOST
    return round(value * unit) if fits else None
