"""Streams as each kind of server writes them, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenhud.engines import remote_kinds as kinds
from tokenhud.engines.events import Served
from tokenhud.engines.remote_kinds import Kind

from .wire import stream

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """`events` come in one every 10 ms, the first after 100 ms."""

    name: str
    kind: Kind
    events: Sequence[dict[str, Any]]
    text: str
    served: Served  # but for time, way, source and notes
    first_ms: int  # of the first and the last piece
    last_ms: int
    first_tokens: int
    gaps: tuple[int, ...] = ()  # tokens of each, where the server counts along

    @property
    def data(self) -> bytes:
        return stream(*self.events)


def piece(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice], **more}


def role(**more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], **more}


def used(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    details = None if cached is None else {"cached_tokens": cached}
    total = prompt + completion
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": details,
    }


def last(usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [], "usage": usage, **more}


def timings(n: int, **more: int) -> dict[str, Any]:
    known = {"cache_n": 20, "prompt_n": 10, "prompt_ms": 80.5, "predicted_n": n}
    return known | {"predicted_ms": 10.0 * n} | more


def progress(done: int) -> dict[str, Any]:
    return {"total": 30, "cache": 20, "processed": done, "time_ms": done}


PLAIN = Recorded(
    "vLLM",
    kinds.VLLM,
    [
        role(usage=None),
        piece("Hel", usage=None),
        piece("lo", usage=None),
        piece("", "stop", usage=None),
        last(used(30, 4)),
    ],
    "Hello",
    Served(0, prompt_tokens=30, completion_tokens=4),
    first_ms=110,
    last_ms=130,
    first_tokens=1,
)
COUNTING = Recorded(
    "vLLM that counts along and drafts",
    kinds.VLLM,
    [
        role(usage=used(30, 0)),
        piece("One two", usage=used(30, 2)),
        piece(" three four five", usage=used(30, 5)),
        piece("", usage=used(30, 6)),  # half a character
        piece(" é", "length", usage=used(30, 8)),
        last(
            used(30, 8, 16),
            metrics={
                "time_to_first_token_ms": 60.0,
                "queue_time_ms": 5.5,
                "generation_time_ms": 40.0,
                "speculative_decoding": {
                    "num_spec_steps": 4,
                    "num_draft_tokens": 8,
                    "num_accepted_draft_tokens": 4,
                    "acceptance_histogram": [1, 2, 1],
                    "draft_acceptance_rate": 0.5,
                    "mean_acceptance_length": 2.0,
                },
            },
        ),
    ],
    "One two three four five é",
    Served(
        0,
        prompt_tokens=30,
        cached_tokens=16,
        completion_tokens=8,
        server_ttft_ns=65_500_000,
        server_decode_ns=40 * MS,
        drafted=8,
        accepted=4,
        spec_steps=4,
        acceptance_histogram=(1, 2, 1),
    ),
    first_ms=110,
    last_ms=140,
    first_tokens=2,
    gaps=(3, 1, 2),
)
SGLANG = Recorded(
    "SGLang",
    kinds.SGLANG,
    [
        role(usage=used(12, 0)),
        piece("A", usage=used(12, 1)),
        piece(" B C D", usage=used(12, 4)),
        piece(None, "stop", usage=used(12, 5), matched_stop=2),
        last(
            used(12, 5, 8),
            sglext={
                "spec_tokens_details": {
                    "spec_accept_rate": 1 / 3,
                    "spec_accept_length": 2.0,
                    "spec_num_correct_drafts": 2,
                    "spec_num_proposed_drafts": 6,
                    "spec_verify_ct": 2,
                    "spec_correct_drafts_histogram": [1, 0, 1, 0],
                }
            },
        ),
    ],
    "A B C D",
    Served(
        0,
        prompt_tokens=12,
        cached_tokens=8,
        completion_tokens=5,
        drafted=6,
        accepted=2,
        spec_steps=2,
        acceptance_histogram=(1, 0, 1, 0),
    ),
    first_ms=110,
    last_ms=130,
    first_tokens=1,
    gaps=(3, 1),
)
LLAMA_SERVER = Recorded(
    "llama-server",
    kinds.LLAMA_SERVER,
    [
        {**role(), "prompt_progress": progress(24)},
        {"choices": [], "prompt_progress": progress(30)},
        piece("Sky", timings=timings(1)),
        piece(" is blue", timings=timings(3, draft_n=4, draft_n_accepted=2)),
        {**piece(None, "stop"), "timings": timings(4, draft_n=8, draft_n_accepted=2)},
        last(used(30, 4, 20), timings=timings(4, draft_n=8, draft_n_accepted=2)),
    ],
    "Sky is blue",
    Served(
        0,
        prompt_tokens=30,
        cached_tokens=20,
        completion_tokens=4,
        server_ttft_ns=80_500_000,
        server_decode_ns=40 * MS,
        drafted=8,
        accepted=2,
    ),
    first_ms=120,
    last_ms=140,
    first_tokens=1,
    gaps=(2, 1),
)
TENSORRT = Recorded(
    "TensorRT-LLM",
    kinds.TENSORRT,
    [
        role(usage=used(9, 0)),
        piece("Two words", usage=used(9, 2)),
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": " more"},
                    "finish_reason": "length",
                    "avg_decoded_tokens_per_iter": 2.0,
                }
            ],
            "usage": used(9, 4),
        },
        last(used(9, 4, 1)),
    ],
    "Two words more",
    Served(0, prompt_tokens=9, cached_tokens=1, completion_tokens=4, spec_steps=2),
    first_ms=110,
    last_ms=120,
    first_tokens=2,
    gaps=(2,),
)
OLLAMA = Recorded(
    "Ollama",
    kinds.OLLAMA,
    [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Yes"}}]},
        piece(" sir", None),
        piece("", "stop"),
        last(used(26, 3)),
    ],
    "Yes sir",
    Served(0, prompt_tokens=26, completion_tokens=3),
    first_ms=100,
    last_ms=120,
    first_tokens=1,
)
LM_STUDIO = Recorded(
    "LM Studio",
    kinds.LM_STUDIO,
    [
        role(),
        piece("So"),
        piece(" be it"),
        piece(None, "stop"),
        last(
            used(20, 4),
            stats={
                "tokens_per_second": 51.4,
                "time_to_first_token": 0.25,
                "draft_model": "small",
                "total_draft_tokens_count": 5,
                "accepted_draft_tokens_count": 2,
            },
        ),
    ],
    "So be it",
    Served(
        0,
        prompt_tokens=20,
        completion_tokens=4,
        server_ttft_ns=250 * MS,
        drafted=5,
        accepted=2,
    ),
    first_ms=110,
    last_ms=130,
    first_tokens=1,
)
TRANSFORMERS = Recorded(
    "transformers serve",
    kinds.TRANSFORMERS,
    [
        {"choices": [{"delta": {"role": "assistant"}, "index": 0}]},
        {"choices": [{"delta": {"content": "The sky"}, "index": 0}]},
        {"choices": [{"delta": {"content": " is"}, "index": 0}]},
        {
            "choices": [{"delta": {}, "finish_reason": "length", "index": 0}],
            "usage": {"completion_tokens": 5, "prompt_tokens": 31, "total_tokens": 36},
        },
    ],
    "The sky is",
    Served(0, prompt_tokens=31, completion_tokens=5),
    first_ms=110,
    last_ms=130,
    first_tokens=1,
)
LLAMA_CPP_PYTHON = Recorded(
    "llama-cpp-python",
    kinds.LLAMA_CPP_PYTHON,
    [role(), piece("No"), piece(" count"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}],
    "No count",
    Served(0),
    first_ms=110,
    last_ms=130,
    first_tokens=0,
)
RECORDED = (
    PLAIN,
    COUNTING,
    SGLANG,
    LLAMA_SERVER,
    TENSORRT,
    OLLAMA,
    LM_STUDIO,
    TRANSFORMERS,
    LLAMA_CPP_PYTHON,
)
