"""`tokenhud bench gpu`: decoding on a GPU beside torch and transformers, random weights."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from ...engines.options import Spec
from ...sessions import figures
from ...sessions.clean import one_line
from .bench_peers import require_time

if TYPE_CHECKING:
    from ...engines.gpu_bench import GpuFigures


def bench_gpu(
    shape: str, spec: Spec, prompt: int, length: int, runs: int, compiled: bool, as_json: bool
) -> int:
    """Prints rates, their share of what the memory's bandwidth allows, and what passes over
    several tokens cost. Raises EngineError without a GPU."""
    require_time(runs, length)
    from ...engines.gpu_bench import measure_gpu

    print(
        f"{shape}, random weights, {spec.dtype}: {runs} runs after a warm-up ...", file=sys.stderr
    )
    found = measure_gpu(shape, spec, prompt, length, runs, compiled)
    if as_json:
        print(json.dumps(asdict(found) | {"limit": found.limit}, allow_nan=False))
    else:
        print(f"{shape}, {spec.dtype}, prompt {prompt}, answer {length} tokens, {runs} runs")
        print(table(found))
    return 0


def table(found: GpuFigures) -> str:
    copied = figures.size(found.bandwidth)
    lines = [
        f"{found.card} · copies {copied}/s · a token reads {figures.size(found.weights)}"
        f" · so at most {figures.rate(found.limit)} tok/s",
        *(_rates(name, found) for name in found.rounds),
    ]
    for name, costs in found.verify.items():
        passes = (f"{n}: {cost * 1e3:.2f} ms ({cost / costs[1]:.2f})" for n, cost in costs.items())
        lines.append(f"a pass over so many tokens, {name}: {', '.join(passes)}")
    lines.append(f"peak memory {figures.size(found.peak_memory)}, all engines together")
    return "\n".join([*lines, *map(one_line, found.notes)])


def _rates(name: str, found: GpuFigures) -> str:
    rates = [each.decode_rate for each in found.rounds[name][1:]]
    return (
        f"{name}: {figures.rate(median(rates))} tok/s ({figures.rate(min(rates))} to "
        f"{figures.rate(max(rates))}), {figures.percent(median(rates) / found.limit)} of the limit"
    )
