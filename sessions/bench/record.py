"""A result as one JSON object: docs/result.schema.json, told field by field in docs/results.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...engines.options import to_record
from .answers import MEASURES
from .comparison import Beside, Comparison
from .derived import (
    Part,
    as_reference,
    cases_of,
    decode_by_case,
    distinct,
    memory,
    of_method,
    positions,
    prefill_line,
    right,
    total,
)
from .passes import whole
from .remarks import remarks
from .result import Load, Result
from .samples import sample_rows
from .standing import besides
from .statistics import Ratio, summarise

SCHEMA_VERSION = 1
SPEEDUPS = {"speedup": "decode_tps", "e2e_speedup": "e2e_tps"}  # over the first method


def result_record(result: Result, comparison: Comparison | None = None) -> dict[str, Any]:
    """All values are strict JSON. What cannot be known is None."""
    header, first = result.header, next(iter(result.methods), "")
    sides = {name: besides(result, measure) for name, measure in SPEEDUPS.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": result.name,
        "created": header.created if header else None,
        "tokenhud_version": header.tokenhud_version if header else None,
        "env": header.environment if header else None,
        "plan": asdict(result.plan) if result.plan else None,
        "cases": [asdict(each) for each in result.cases],
        "loads": [_load(each) for each in result.loads],
        "idle_load": result.idle_load,
        "results": _results(result, sides),
        "methods": [_method(result, each) for each in result.methods],
        "derived": _scaling(result, first),
        "remarks": remarks(result, sides["speedup"]),
        "failures": [each._asdict() for each in result.failures],
        "problems": [asdict(each) for each in result.problems],
        "comparison": _comparison(comparison) if comparison else None,
        "samples": sample_rows(result),
    }


def _load(load: Load) -> dict[str, Any]:
    found = load.loaded
    return {
        "method": load.method,
        "load_ms": found.load_ns / 1e6,
        "model": asdict(found.model),
        "spec": to_record(found.spec),
        "memory": found.memory,
        "notes": found.notes,
    }


def _results(result: Result, sides: Mapping[str, Sequence[Beside]]) -> list[dict[str, Any]]:
    """A row for each case of each method, and one of no case for its whole passes."""
    rows = []
    for method in result.methods:
        mine = {name: _of(found, method) for name, found in sides.items()}
        for case in cases_of(result, method):
            values = {name: result.values(name, case, method) for name in MEASURES}
            ratios = {name: each.cases.get(case) for name, each in mine.items() if each}
            n, different = len(result.of(case, method)), distinct(result, case, method)
            rows.append(_row(case, method, n, values, ratios, different))
        values = {name: result.totals(name, method) for name in MEASURES}
        ratios = {name: each.total for name, each in mine.items() if each}
        passes = whole(result.by_case(method), result.shared)
        rows.append(_row(None, method, len(passes), values, ratios, None))
    return rows


def _row(
    case: str | None,
    method: str,
    n: int,
    values: Mapping[str, Sequence[float]],
    ratios: Mapping[str, Ratio | None],
    distinct_answers: int | None,
) -> dict[str, Any]:
    return {
        "case": case,
        "method": method,
        "n": n,
        **{name: _summary(each) for name, each in values.items()},
        **_speedups(ratios),
        "distinct_answers": distinct_answers,
    }


def _of(sides: Sequence[Beside], method: str) -> Beside | None:
    """None for the first method, which the others are beside."""
    return next((each for each in sides if each.method == method), None)


def _speedups(ratios: Mapping[str, Ratio | None]) -> dict[str, Any]:
    """Each as a number, and all that is known of it beside it."""
    told: dict[str, Any] = {}
    for name in SPEEDUPS:
        found = ratios.get(name)
        told[name] = found.value if found else None
        told[f"{name}_ratio"] = asdict(found) if found and found.value is not None else None
    return told


def _summary(values: Sequence[float]) -> dict[str, Any]:
    found = summarise(values)
    return asdict(found) | {"drift": found.drift._asdict() if found.drift else None}


def _method(result: Result, method: str) -> dict[str, Any]:
    whole, held = total(result, method), memory(result, method)
    return {
        "method": method,
        "answers": whole.answers,
        "completion_tokens": whole.tokens,
        "wall_ms": whole.wall_ns / 1e6,
        "tokens_per_second": whole.tps,
        "answers_per_second": whole.answers_per_second,
        "acceptance_by_position": [
            each.acceptance for each in positions(of_method(result, method))
        ],
        "right": _part(right(result, method)),
        "same_words_as_first": _part(as_reference(result, method)),
        "peak_rss": held.peak_rss,
        "peak_vram": held.peak_vram,
        "memory": dict(held.parts),
        "memory_estimate": held.estimate,
        **_scaling(result, method),
    }


def _scaling(result: Result, method: str) -> dict[str, Any]:
    line, spread = prefill_line(result, method), decode_by_case(result, method)
    return {
        "prefill_ms_per_token": line.slope if line else None,
        "prefill_intercept_ms": line.intercept if line else None,
        "prefill_r2": line.r2 if line else None,
        "prefill_n": line.n if line else None,
        "decode_cv": spread.cv,
        "decode_cv_n": spread.n,
    }


def _part(found: Part | None) -> dict[str, int] | None:
    return found._asdict() if found else None


def _comparison(told: Comparison) -> dict[str, Any]:
    return {
        "status": told.status,
        "exit_status": told.exit_status,
        "improved": told.improved,
        "reason": told.reason,
        "measure": told.measure,
        "threshold": told.threshold,
        "candidate": told.here,
        "reference": told.there,
        "differences": [each._asdict() for each in told.differences],
        "rows": [
            {
                "case": each.case,
                "candidate": each.here,
                "reference": each.there,
                "ratio": asdict(each.ratio),
                **each.verdict._asdict(),
            }
            for each in told.rows
        ],
    }
