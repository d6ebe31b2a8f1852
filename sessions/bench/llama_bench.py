"""A result as `llama-bench -o json` writes one. docs/results.md tells which fields say nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean, median, stdev
from typing import Any

from ...engines.events import Loaded
from ..turns import SECOND
from .answers import Answer
from .result import Result

Sample = tuple[int, int]  # tokens, and the nanoseconds they took
_CACHE_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}


def llama_bench(result: Result) -> list[dict[str, Any]]:
    """Of each case with exact counts and each method: its prompt (`pp`), what it decoded after the
    first step at that depth (`tg`), and both."""
    return [
        _about(result, method) | test
        for case in result.cases
        if case.exact is not None
        for method in result.methods
        for test in _tests(result.of(case.name, method))
    ]


def _tests(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    """Those that any answer has tokens and a time for."""
    prompt, depth, decoded, said = (
        int(median(counts)) if counts else 0
        for counts in (
            [each.evaluated_tokens for each in answers if each.evaluated_tokens],
            [each.cached_tokens for each in answers if each.cached_tokens],
            [each.decode_tokens for each in answers],
            [each.tokens for each in answers],
        )
    )
    read = _timed([(each.evaluated_tokens, each.prompt_ns) for each in answers])
    wrote = _timed([(each.decode_tokens, each.decode_ns) for each in answers])
    both = _timed([((each.evaluated_tokens or 0) + each.tokens, each.e2e_ns) for each in answers])
    if read:
        yield _test(prompt, 0, depth, read)
    if wrote:
        yield _test(0, decoded, depth + prompt, wrote)
    if read and wrote and both:
        yield _test(prompt, said, depth, both)


def _timed(pairs: Sequence[tuple[int | None, int | None]]) -> list[Sample]:
    return [(tokens, ns) for tokens, ns in pairs if tokens and ns]


def _test(prompt: int, gen: int, depth: int, samples: Sequence[Sample]) -> dict[str, Any]:
    times = [ns for _, ns in samples]
    rates = [tokens * SECOND / ns for tokens, ns in samples]
    return {
        "n_prompt": prompt,
        "n_gen": gen,
        "n_depth": depth,
        "avg_ns": round(fmean(times)),
        "stddev_ns": round(_deviation(times)),
        "avg_ts": fmean(rates),
        "stddev_ts": _deviation(rates),
        "samples_ns": times,
        "samples_ts": rates,
    }


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def _about(result: Result, method: str) -> dict[str, Any]:
    """All fields in their order; those of a test come last and keep their places."""
    header, loaded = result.header, result.model(method)
    info = header.environment.get("machine_info") if header else None
    machine: Mapping[str, Any] = info if isinstance(info, dict) else {}
    return {
        "build_commit": " ".join(filter(None, (header.tokenhud_version if header else "", method))),
        "build_number": 0,
        "cpu_info": _name(machine.get("cpu")),
        "gpu_info": _name(machine.get("gpu")),
        **_engine(loaded),
        "cpu_mask": "",
        "cpu_strict": False,
        "poll": 0,
        **_cache(loaded),
        "n_cpu_moe": 0,
        "split_mode": "",
        "main_gpu": 0,
        "no_kv_offload": False,
        "flash_attn": bool(loaded and loaded.spec.flash_attention == "on"),
        "devices": "",
        "tensor_split": "",
        "tensor_buft_overrides": "",
        "load_mode": "",
        "lazy_mode": "",
        "embeddings": False,
        "no_op_offload": 0,
        "no_host": False,
        "repack": 0,
        "fit_target": 0,
        "fit_min_ctx": 0,
        "n_prompt": 0,
        "n_gen": 0,
        "n_depth": 0,
        "test_time": _utc(header.created if header else ""),
    }


def _engine(loaded: Loaded | None) -> dict[str, Any]:
    model = loaded.model if loaded else None
    kind = (model.architecture, _size(model.parameters), model.quantization) if model else ()
    return {
        "backends": _backend(loaded),
        "model_filename": model.path if model else "",
        "model_type": " ".join(kind),
        "model_size": loaded.memory.get("weights", 0) if loaded else 0,
        "model_n_params": model.parameters if model else 0,
        "n_batch": 0,
        "n_ubatch": 0,
        "n_threads": (loaded.spec.threads if loaded else None) or 0,
    }


def _cache(loaded: Loaded | None) -> dict[str, Any]:
    kind = ""
    if loaded:
        spec = loaded.spec
        kind = spec.kv_type if spec.target == "llamacpp" else _CACHE_TYPES[spec.dtype]
    layers = loaded.spec.gpu_layers if loaded else None
    return {"type_k": kind, "type_v": kind, "n_gpu_layers": layers or 0}


def _backend(loaded: Loaded | None) -> str:
    if loaded is None or loaded.spec.url:
        return ""
    return "CUDA" if loaded.spec.device == "cuda" else "CPU"


def _size(parameters: int) -> str:
    billions = parameters / 1e9
    return f"{billions:.3g}B" if billions >= 1 else f"{parameters / 1e6:.3g}M"


def _name(device: Any) -> str:
    name = device.get("name") if isinstance(device, dict) else None
    return name if isinstance(name, str) else ""


def _utc(created: str) -> str:
    try:
        when = datetime.fromisoformat(created).astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
