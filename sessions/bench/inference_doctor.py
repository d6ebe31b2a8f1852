"""A method's passes as the repetitions that inference-doctor compares: a second opinion from
outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...engines.options import to_record
from ..summary import percentile
from ..turns import rate
from .answers import Answer
from .as_requests import Key, Told, latencies, told
from .result import Result

NO_GPU, UNNAMED = "none", "not known"


def inference_doctor(result: Result, method: str) -> list[tuple[str, dict[str, Any]]]:
    """A file's name and its content for each whole pass."""
    raw = told(result, method)
    about = {
        "schema_version": "1",
        "environment": _environment(result, method),
        "benchmark_parameters": _parameters(result, method),
    }
    return [
        (f"repetition-{number}.json", about | {"metrics": _metrics(result, answers, raw)})
        for number, answers in result.passes(method)
    ]


def _environment(result: Result, method: str) -> dict[str, Any]:
    """Both sides must agree in it, so the processor stands in it where there is no GPU."""
    loaded = result.model(method)
    return {
        "gpu": _device(result),
        "model": (loaded.model.name if loaded else "") or UNNAMED,
        "vllm_version": None,
        "image": None,
    }


def _device(result: Result) -> str:
    info = result.header.environment.get("machine_info") if result.header else None
    found = []
    for device in ("gpu", "cpu"):
        about = info.get(device) if isinstance(info, dict) else None
        found.append(about.get("name") if isinstance(about, dict) else None)
    gpu, cpu = found
    return str(gpu) if gpu else f"{NO_GPU}, {cpu or 'processor not known'}"


def _parameters(result: Result, method: str) -> dict[str, Any]:
    """What makes two sides comparable, and not what is under test."""
    loaded, prompts = result.model(method), {}
    for _, answers in result.passes(method)[:1]:
        prompts = {each.case: each.prompt_words for each in answers}
    sampling = to_record(result.plan.sampling) if result.plan else {}
    return {
        "concurrency": 1,
        "model_sha256": loaded.model.sha256 if loaded else "",
        "template_sha256": loaded.model.template_sha256 if loaded else "",
        "prompts": prompts,
        "sampling": sampling,
    }


def _metrics(result: Result, answers: Sequence[Answer], raw: Mapping[Key, Told]) -> dict[str, Any]:
    timed = [each for each in answers if each.e2e_ns]
    took = sum(each.e2e_ns or 0 for each in timed)
    tokens_out = sum(each.tokens for each in timed)
    tokens_in = sum(each.prompt_tokens or 0 for each in timed)
    found = latencies(answers, raw)._asdict()
    return {
        **{f"{name}_ms": _statistics(values) for name, values in found.items()},
        "output_token_throughput": rate(tokens_out, took),
        "total_token_throughput": rate(tokens_in + tokens_out, took) if tokens_out else None,
        "request_throughput": rate(len(timed), took),
        "texts_per_second": None,
        "requests": {"successful": len(answers), "failed": _failed(result, answers[0])},
    }


def _statistics(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": sum(values) / len(values) if values else None,
        "median": percentile(values, 50).value,
        "p95": percentile(values, 95).value,
        "p99": percentile(values, 99).value,
    }


def _failed(result: Result, of: Answer) -> int:
    """In the same pass."""
    return sum(
        each.reason == "error"
        for each in result.answers
        if (each.method, each.number, each.warmup) == (of.method, of.number, of.warmup)
    )
