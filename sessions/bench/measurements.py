"""Figures out of a folder of results, for the limits to judge."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

from ...engines.events import EngineError
from ...engines.measured import Measured
from ..clean import one_line
from ..places import numbered
from ..results import KPI_FILES, PROFILE_FILE
from .answers import MEASURES
from .judging import Key
from .limits import Limit

RESULT_FILE, QUANT_FILE = "result.json", "quant.json"
QUANT_METRICS = ("speedup", "loss", "agreement", "perplexity", "decode_rate", "prefill_rate")
DERIVED = ("prefill_ms_per_token", "prefill_intercept_ms", "prefill_r2", "decode_cv")
PROFILED = ("step_ms", "kernels", "busy_ms", "utilisation", "kernel_us", "launch_us")
METRICS = frozenset(
    (
        *MEASURES,
        *("speedup", "e2e_speedup", "distinct_answers"),
        *DERIVED,
        *PROFILED,
        *QUANT_METRICS,
        *(metric for each in KPI_FILES.values() for metric in each.metrics),
    )
)
Figure = tuple[Key, Measured]


def require_known(limits: Sequence[Limit]) -> None:
    """A limit on what nothing measures would pass for ever; raises EngineError for one."""
    for each in limits:
        if each.metric not in METRICS:
            near = get_close_matches(each.metric, METRICS, n=1)
            remedy = (
                f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(METRICS))}."
            )
            what = f"{one_line(each.name, 40)}: there is no metric {one_line(each.metric, 40)}."
            raise EngineError(what, remedy)


def read_values(folder: Path) -> dict[Key, Measured]:
    """Of a file that was written several times the last is read. Raises EngineError where there is
    no file of results, or one that isn't."""
    found: dict[Key, Measured] = {}
    readers = {RESULT_FILE: of_result, PROFILE_FILE: of_result, QUANT_FILE: _of_quant}
    for name, read in readers.items():
        record = _record(folder, name)
        found |= dict(read(record)) if record else {}
    for kept in KPI_FILES.values():
        record = _record(folder, kept.name) or {}
        found |= {Key(metric): each for metric, each in _fields(record, kept.metrics)}
    if not found:
        raise EngineError(
            f"{folder} holds no results.", "Make some: tokenhud bench --out DIR, or kpi --out DIR."
        )
    return found


def of_result(record: Mapping[str, Any]) -> Iterator[Figure]:
    """Every number of "results", or its median where it has a summary, by case and method; and
    those of "derived"."""
    for row in _rows(record, "results"):
        place = {part: str(row.get(part) or "") for part in ("case", "method")}
        for metric, value in row.items():
            number = _number(value.get("median") if isinstance(value, dict) else value)
            if number is not None:
                yield Key(metric, **place), Measured(number)
    derived = record.get("derived")
    for metric, value in (derived if isinstance(derived, dict) else {}).items():
        if (number := _number(value)) is not None:
            yield Key(metric), Measured(number)


def _of_quant(record: Mapping[str, Any]) -> Iterator[Figure]:
    """The forms of the weights, but for the first, which the others are compared with."""
    for row in _rows(record, "rows")[1:]:
        for metric, each in _fields(row, dict(zip(QUANT_METRICS, QUANT_METRICS, strict=True))):
            yield Key(metric, method=str(row.get("kind") or "")), each


def _fields(record: Mapping[str, Any], fields: Mapping[str, str]) -> Iterator[tuple[str, Measured]]:
    """Metrics by the field that each is in, where it holds a number."""
    for metric, name in fields.items():
        if (number := _number(record.get(name))) is not None:
            yield metric, Measured(number)


def _rows(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = record.get(name)
    return [each for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond what a float holds
        return None
    return number if math.isfinite(number) else None


def _record(folder: Path, name: str) -> dict[str, Any] | None:
    paths = list(takewhile(Path.exists, numbered(folder / name)))
    if not paths:
        return None
    try:
        record = json.loads(paths[-1].read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"{paths[-1]} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise EngineError(f"{paths[-1]} is no JSON.", "Remove it, or measure again.") from None
    if not isinstance(record, dict):
        raise EngineError(f"{paths[-1]} holds no results.", "Remove it, or measure again.")
    return record
