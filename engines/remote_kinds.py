"""What each kind of server takes, tells, and fixes when it starts. Data, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .options import Sampling, Spec

NEUTRAL = Sampling()
SHARED = ("temperature", "top_p")  # every server takes these two
CHOICES = ("top_k", "min_p", "repetition_penalty", "seed", "ignore_eos")
LAUNCH = (  # of Spec: what a server decides when it starts
    "target",
    "drafter",
    "gamma",
    "dtype",
    "quantize",
    "kv_type",
    "flash_attention",
    "gpu_layers",
    "device",
    "threads",
    "context",
)


@dataclass(frozen=True, slots=True)
class Counters:
    """Server-wide Prometheus counters, by the figure that their difference is."""

    path: str
    names: Mapping[str, str]
    running: str = ""  # gauge of requests under way
    positions: str = ""  # accepted drafts by place, labelled "position"


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    takes: Mapping[str, str] = field(default_factory=dict)  # options to names in the request
    always: Mapping[str, Any] = field(default_factory=dict)  # what makes it tell its figures
    usage: Mapping[str, bool] = field(default_factory=lambda: {"include_usage": True})
    fresh: Mapping[str, Any] = field(default_factory=dict)  # what passes the prefix cache by
    no_top_k: int = 0  # how top_k is switched off
    flags: Mapping[str, str] = field(default_factory=dict)  # options to what sets them at launch
    absent: Mapping[str, str] = field(default_factory=dict)  # figures to what makes it tell them
    counters: Counters | None = None
    tokenize: tuple[str, str] | None = None  # path, and the request's name for the text
    any_model: bool = False  # loads models that it doesn't list


_ALL = {name: name for name in CHOICES}
_LLAMA = _ALL | {"repetition_penalty": "repeat_penalty"}
_COUNTING = {"include_usage": True, "continuous_usage_stats": True}
_SALT = {"cache_salt": ""}  # filled with a random text for each request

VLLM = Kind(
    "vLLM",
    takes=_ALL,
    usage=_COUNTING,
    fresh=_SALT,
    flags={
        "drafter": "--speculative-config",
        "gamma": "num_speculative_tokens of --speculative-config",
        "dtype": "--dtype",
        "quantize": "--quantization",
        "kv_type": "--kv-cache-dtype",
        "context": "--max-model-len",
    },
    absent={
        "cached_tokens": "--enable-prompt-tokens-details",
        "server_ttft_ns": "--enable-per-request-metrics",
        "drafted": "--enable-per-request-metrics --per-request-spec-decode-metrics summary",
    },
    counters=Counters(
        "/metrics",
        {
            "generated": "vllm:generation_tokens_total",
            "drafted": "vllm:spec_decode_num_draft_tokens_total",
            "accepted": "vllm:spec_decode_num_accepted_tokens_total",
            "spec_steps": "vllm:spec_decode_num_drafts_total",
        },
        running="vllm:num_requests_running",
        positions="vllm:spec_decode_num_accepted_tokens_per_pos_total",
    ),
    tokenize=("/tokenize", "prompt"),
)
SGLANG = Kind(
    "SGLang",
    takes=_ALL,
    always={"return_spec_tokens_details": True, "return_cached_tokens_details": True},
    usage=_COUNTING,
    fresh=_SALT,
    no_top_k=-1,
    flags={
        "drafter": "--speculative-algorithm",
        "gamma": "--speculative-num-draft-tokens",
        "dtype": "--dtype",
        "quantize": "--quantization",
        "kv_type": "--kv-cache-dtype",
        "context": "--context-length",
    },
    absent={"cached_tokens": "--enable-cache-report"},
    tokenize=("/tokenize", "prompt"),
)
TENSORRT = Kind(
    "TensorRT-LLM",
    takes=_ALL,
    usage=_COUNTING,
    flags={
        "drafter": "decoding_type in speculative_config of its options file",
        "gamma": "max_draft_len in speculative_config of its options file",
        "kv_type": "dtype in kv_cache_config of its options file",
        "context": "--max_seq_len",
    },
    absent={"drafted": "return_perf_metrics in its options file"},
    counters=Counters(
        "/prometheus/metrics",
        {
            "generated": "trtllm_generation_tokens_total",
            "drafted": "trtllm_spec_decode_num_draft_tokens_total",
            "accepted": "trtllm_spec_decode_num_accepted_tokens_total",
        },
    ),
)
LLAMA_SERVER = Kind(
    "llama-server",
    takes=_LLAMA,
    always={"timings_per_token": True, "return_progress": True},
    fresh={"cache_prompt": False},
    flags={
        "drafter": "--spec-type",
        "gamma": "--spec-draft-n-max",
        "kv_type": "--cache-type-k and --cache-type-v",
        "flash_attention": "--flash-attn",
        "gpu_layers": "--n-gpu-layers",
        "threads": "--threads",
        "context": "--ctx-size",
    },
    counters=Counters(
        "/metrics",
        {
            "generated": "llamacpp:tokens_predicted_total",
            "spec_steps": "llamacpp:spec_decode_num_drafts_total",
        },
        running="llamacpp:requests_processing",
        positions="llamacpp:spec_decode_num_accepted_tokens_per_pos_total",
    ),
    tokenize=("/tokenize", "content"),
)
LLAMA_CPP_PYTHON = Kind(
    "llama-cpp-python",
    takes={name: each for name, each in _LLAMA.items() if name != "ignore_eos"},
    flags={
        "drafter": "--draft_model",
        "gamma": "--draft_model_num_pred_tokens",
        "kv_type": "--type_k and --type_v",
        "flash_attention": "--flash_attn",
        "gpu_layers": "--n_gpu_layers",
        "threads": "--n_threads",
        "context": "--n_ctx",
    },
)
OLLAMA = Kind(
    "Ollama",
    takes={"seed": "seed"},
    flags={
        "gamma": "draft_num_predict in a Modelfile",
        "kv_type": "OLLAMA_KV_CACHE_TYPE",
        "flash_attention": "OLLAMA_FLASH_ATTENTION",
        "gpu_layers": "num_gpu in a Modelfile",
        "threads": "num_thread in a Modelfile",
        "context": "OLLAMA_CONTEXT_LENGTH",
    },
)
LM_STUDIO = Kind(
    "LM Studio",
    takes={"top_k": "top_k", "repetition_penalty": "repeat_penalty", "seed": "seed"},
    flags=dict.fromkeys(LAUNCH, "the settings of the model in LM Studio"),
)
TRANSFORMERS = Kind(
    "transformers serve",
    takes={"seed": "seed"},
    usage={},  # always told, and stream_options is a field that it warns of
    flags={"dtype": "--dtype", "quantize": "--quantization", "device": "--device"},
    any_model=True,
)
UNKNOWN = Kind("a server of unknown kind", takes={"seed": "seed"}, any_model=True)

OWNERS = {  # what /v1/models says of who owns a model
    "vllm": VLLM,
    "sglang": SGLANG,
    "tensorrt_llm": TENSORRT,
    "llamacpp": LLAMA_SERVER,
    "me": LLAMA_CPP_PYTHON,
    "library": OLLAMA,
    "organization_owner": LM_STUDIO,
}


def told_at_launch(kind: Kind, asked: Spec) -> tuple[str, ...]:
    """What `asked` wants otherwise than by default and a running server cannot change."""
    usual = Spec()
    wanted = [name for name in LAUNCH if getattr(asked, name) != getattr(usual, name)]
    if not wanted:
        return ()
    named = ", ".join(f"{name} {getattr(asked, name)}{_by(kind, name)}" for name in wanted)
    return (f"Not in force, since {kind.name} decides when it starts: {named}.",)


def _by(kind: Kind, name: str) -> str:
    return f" ({kind.flags[name]})" if name in kind.flags else ""
