"""`tokenhud kernels`: every kernel beside torch, as a table and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...engines.events import EngineError
from ...sessions import figures, results
from ...sessions.clean import one_line
from ...sessions.writing import write_new

if TYPE_CHECKING:
    from ...kernels.bench.bk_core import BkBenchmark
    from ...kernels.bench.measure import Timing
    from ...kernels.bench.report import Bench, Row

FAILED = 3
STDOUT = "-"
BANDWIDTH_HOW = "median of 20 copies of at most 1 GiB within the device, bytes read and written"
SLOWLY = "TRITON_INTERPRET=1 tokenhud kernels checks results on a CPU, without timings."
HEAD = (
    f"{'':24} {'triton µs':>10} {'torch µs':>10} {'×':>7} {'fast µs':>10} {'×':>7}"
    f" {'GB/s':>6} {'share':>6} {'error':>8} {'zero':>5}"
)


class Asked(NamedTuple):
    """What a person asked for; None is the usual of each kernel."""

    names: Sequence[str]
    batch: int | None
    seq: int | None
    runs: int
    warmup: int
    dtype: str
    json_to: str | None  # a file, or - for standard output
    out: Path | None  # the folder of the files with stable names


def report_kernels(asked: Asked) -> int:
    """Prints the table, or writes JSON where that is asked for; 3 where a kernel failed."""
    from ...kernels.bench.conditions import Effort  # here: what follows takes torch's seconds
    from ...kernels.bench.place import place
    from ...kernels.bench.report import NAMES, Bench

    unknown = [each for each in asked.names if each not in NAMES]
    if unknown:
        raise EngineError(f"There is no kernel {unknown[0]}.", f"There are: {', '.join(NAMES)}.")
    bench = Bench.at(place(), Effort(asked.runs, asked.warmup), asked.dtype)
    rows: list[Row] = []
    for name in asked.names or NAMES:
        print(f"{name} ...", file=sys.stderr)
        rows += bench.rows(name, asked.batch, asked.seq)
    record = kernels_record(bench, rows, results.origin())
    if asked.json_to == STDOUT:
        print(json.dumps(record, allow_nan=False))
    else:
        print(table(bench, rows))
    if asked.json_to and asked.json_to != STDOUT:
        path = Path(asked.json_to)
        _written(path.parent, path.name, record)
    if asked.out:
        _written(asked.out, results.KERNELS_FILE, record)
        _write_bk(bench, [row.bk for row in rows if row.bk], asked.out)
    return FAILED if any(row.failed for row in rows) else 0


def _write_bk(bench: Bench, found: Sequence[BkBenchmark], folder: Path) -> None:
    """The two files of BK-Core, the second of a run over sequence lengths."""
    if not found or not bench.where.compiled:
        return
    from ...kernels.bench.bk_core import scaling

    _written(folder, results.BK_FILE, results.bk_record(found[0], results.origin()))
    print("bk_core by sequence length ...", file=sys.stderr)
    if lengths := scaling(bench.where):
        _written(folder, results.SCALING_FILE, results.scaling_record(lengths, results.origin()))


def _written(folder: Path, name: str, record: dict[str, Any]) -> None:
    print(f"written: {write_new(folder, name, record)}", file=sys.stderr)


def kernels_record(bench: Bench, rows: Sequence[Row], origin: dict[str, Any]) -> dict[str, Any]:
    return {
        **origin,
        "device": bench.where.device,
        "num_runs": bench.effort.runs,
        "warmup_runs": bench.effort.warmup,
        "bandwidth_gbps": bench.bandwidth,
        "bandwidth_how": BANDWIDTH_HOW if bench.bandwidth else None,
        "kernels": [_row_record(row, origin) for row in rows],
    }


def _row_record(row: Row, origin: dict[str, Any]) -> dict[str, Any]:
    record = asdict(row) | {
        "gbps": row.gbps,
        "speedup": row.speedup,
        "speedup_fast": row.speedup_fast,
        "bk": results.bk_record(row.bk, origin) if row.bk else None,
    }
    return {key: value for key, value in record.items() if value not in ("", None)}


def table(bench: Bench, rows: Sequence[Row]) -> str:
    lines = [HEAD, *(line for row in rows for line in _lines(row))]
    if bench.where.skipped:
        lines = [*lines[1:], SLOWLY]
    if bench.bandwidth:
        runs, warmup = bench.effort
        lines.append(
            f"median of {runs} runs after {warmup} warm-ups; a device's copy makes"
            f" {bench.bandwidth:,.0f} GB/s ({BANDWIDTH_HOW})"
        )
    return "\n".join(lines)


def _lines(row: Row) -> list[str]:
    if row.skipped or row.failed:
        status = "SKIPPED" if row.skipped else "FAILED"
        return [f"{row.case:24} {status}  {one_line(row.skipped or row.failed)}"]
    found = row.accuracy
    error = None
    if found and found.max_error is not None and found.scale:
        error = found.max_error / found.scale
    figured = (
        f"{row.case:24} {_us(row.triton):>10} {_us(row.torch):>10} {_factor(row.speedup):>7}"
        f" {_us(row.torch_fast):>10} {_factor(row.speedup_fast):>7} {_number(row.gbps):>6}"
        f" {figures.percent(row.bandwidth_share):>6} {_exponent(error):>8}"
        f" {figures.percent(found.zero_fraction if found else None):>5}"
    )
    spoilt = found.non_finite_fraction if found else 0
    notes = [row.shape, row.note, f"{spoilt:.2%} NOT FINITE" if spoilt else ""]
    return [figured, f"  {'; '.join(filter(None, notes))}"]


def _us(taken: Timing | None) -> str:
    return figures.ABSENT if taken is None else f"{taken.median_ms * 1e3:,.1f}"


def _factor(number: float | None) -> str:
    return figures.ABSENT if number is None else f"{number:,.2f}"


def _number(number: float | None) -> str:
    return figures.ABSENT if number is None else f"{number:,.0f}"


def _exponent(number: float | None) -> str:
    return figures.ABSENT if number is None else f"{number:.1e}"
