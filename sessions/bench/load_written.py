"""A load as people and programs take it away: tables, load.json, the JSON of `vllm bench serve`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...engines.options import to_record
from ..figures import ABSENT, percent
from ..writing import write_new, write_new_text
from .load_figures import Level, LoadResult
from .result import Result, read_result
from .statistics import Summary
from .table import Table, as_markdown
from .vllm_bench import vllm_bench

SCHEMA_VERSION = 1
RESULT, REPORT, VLLM = "load.json", "report.md", "vllm-bench-{}.json"
SHOWN = ("n", "mean", "std", "median", "min", "max", "p90", "p95", "p99")


def load_record(result: LoadResult) -> dict[str, Any]:
    """All values are strict JSON. What a server does not tell is None."""
    header, loaded = result.header, result.loaded
    return {
        "schema_version": SCHEMA_VERSION,
        "created": header.created if header else None,
        "tokenhud_version": header.tokenhud_version if header else None,
        "env": header.environment if header else None,
        "server": loaded.spec.url if loaded else None,
        "model": loaded.model.name if loaded else None,
        "server_notes": list(loaded.notes) if loaded else [],
        "notes": list(result.notes),
        "sampling": to_record(result.plan.sampling),
        "limits_ms": dict(result.limits),
        "levels": [_level(each) for each in result.levels],
    }


def load_tables(result: LoadResult) -> list[Table]:
    found = [_throughput(result), _latency(result), _failures(result), _conditions(result)]
    return [each for each in found if each.rows or each.notes]


def write_load(result: LoadResult) -> list[Path]:
    """Beside the raw log, over nothing that is there. Raises EngineError."""
    folder, raw = result.path.parent, read_result(result.path)
    return [
        write_new(folder, RESULT, load_record(result)),
        write_new_text(folder, REPORT, as_markdown(load_tables(result))),
        *(
            write_new(folder, VLLM.format(each.concurrency), as_vllm(raw, each))
            for each in result.levels
        ),
    ]


def as_vllm(raw: Result, level: Level) -> dict[str, Any]:
    """That tool's fields, those of requests that run at a time in place of one by one; `raw` is
    the same load as a result."""
    failed = sum(level.failed.values())
    return vllm_bench(raw, str(level.concurrency)) | {
        "num_prompts": level.completed + failed + level.cut,
        "failed": failed + level.cut,
        "max_concurrency": level.concurrency,
        "max_concurrent_requests": level.concurrency,
        "duration": level.seconds,
        "request_throughput": level.request_throughput,
        "request_goodput": level.goodput,
        "output_throughput": level.output_throughput,
        "total_token_throughput": level.total_throughput,
        "total_input_tokens": level.prompt_tokens,
        "total_output_tokens": level.tokens,
        "mean_itl_ms": level.gaps.mean,
        "median_itl_ms": level.gaps.median,
        "std_itl_ms": level.gaps.std,
        "p50_itl_ms": level.gaps.p50,
        "p95_itl_ms": level.gaps.p95,
        "p99_itl_ms": level.gaps.p99,
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "concurrency": level.concurrency,
        "completed": level.completed,
        "failed": sum(level.failed.values()),
        "cut_off": level.cut,
        "failures": dict(level.failed),
        "duration_s": level.seconds,
        "prompt_tokens": level.prompt_tokens,
        "completion_tokens": level.tokens,
        "request_throughput": level.request_throughput,
        "output_throughput": level.output_throughput,
        "total_token_throughput": level.total_throughput,
        "request_goodput": level.goodput,
        "ttft_ms": _summary(level.ttft),
        "network_adjusted_ttft_ms": _summary(level.adjusted_ttft),
        "tpot_ms": _summary(level.tpot),
        "itl_ms": _summary(level.gaps),
        "itl_between": "tokens" if level.counted else "pieces",
        "itl_tokens": level.tokens_a_gap,
        "e2e_ms": _summary(level.e2e),
    }


def _summary(found: Summary) -> dict[str, Any]:
    known = asdict(found)
    return {name: known[name] for name in SHOWN}


def _throughput(result: LoadResult) -> Table:
    goodput = ("good/s",) if result.limits else ()
    head = ("in flight", "done", "failed", "cut off", "s", "requests/s", "tok/s", "all tok/s")
    rows = [
        (
            f"{each.concurrency}",
            f"{each.completed}",
            f"{sum(each.failed.values())}",
            f"{each.cut}",
            _number(each.seconds),
            _number(each.request_throughput),
            _number(each.output_throughput),
            _number(each.total_throughput),
            *([_number(each.goodput)] if goodput else []),
        )
        for each in result.levels
    ]
    limits = ", ".join(f"{name} {limit:g} ms" for name, limit in result.limits.items())
    notes = [f"good: requests within {limits}."] if limits else []
    return Table("Throughput by requests in flight", (*head, *goodput), rows, notes)


def _latency(result: LoadResult) -> Table:
    head = ("figure", "in flight", "median", "mean", "p90", "p95", "p99", "n")
    rows = [row for name in _FIGURES for each in result.levels if (row := _row(name, each))]
    pieces = any(not each.counted and each.gaps.n for each in result.levels)
    notes = ["Milliseconds. A percentile takes enough samples: 10, 20 and 100."]
    notes += ["A piece is no token: this server does not count along."] if pieces else []
    notes += [
        f"{each.concurrency} in flight: a gap brings {each.tokens_a_gap:.2f} tokens in the mean."
        for each in result.levels
        if each.tokens_a_gap
    ]
    return Table("Latency by requests in flight", head, rows, notes if rows else (), words=1)


_FIGURES = ("TTFT", "without network", "TPOT", "ITL", "whole answer")


def _row(name: str, level: Level) -> tuple[str, ...] | None:
    values = (level.ttft, level.adjusted_ttft, level.tpot, level.gaps, level.e2e)
    found = dict(zip(_FIGURES, values, strict=True))[name]
    shown = "between pieces" if name == "ITL" and not level.counted else name
    figures = (found.median, found.mean, found.p90, found.p95, found.p99)
    return (shown, f"{level.concurrency}", *map(_number, figures), f"{found.n}")


def _failures(result: LoadResult) -> Table:
    rows = [
        (why, f"{each.concurrency}", f"{count}", percent(count / _asked(each)))
        for each in result.levels
        for why, count in each.failed.items()
    ]
    return Table("Failures", ("why", "in flight", "requests", "of all"), rows)


def _asked(level: Level) -> int:
    return level.completed + sum(level.failed.values()) + level.cut


def _conditions(result: LoadResult) -> Table:
    return Table("Conditions", ("what", "value"), list(_told(result)), result.notes, words=2)


def _told(result: LoadResult) -> Iterator[tuple[str, str]]:
    if result.header:
        yield "measured", result.header.created
        yield "tokenhud", result.header.tokenhud_version
    if result.loaded:
        yield "server", result.loaded.spec.url
        yield "model", result.loaded.model.name
        yield from (("it says", note) for note in result.loaded.notes)
    sampling = result.plan.sampling
    yield "longest answer", f"{sampling.length} tokens, unless the prompt says other"
    yield "temperature", f"{sampling.temperature:g}"


def _number(value: float | None) -> str:
    """Three digits that matter, at least."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
