"""`tokenhud bench profile`: the kernels of a decode step, and how much of it they fill."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engines.events import EngineError
from ...engines.options import Spec
from ...engines.shapes import SHAPES
from ...sessions import figures, results
from ...sessions.clean import one_line
from ...sessions.writing import write_new

if TYPE_CHECKING:
    from ...engines.profile import Profile

QUESTION = "Explain how a sailing boat can sail against the wind."
STEPS, PROMPT = 16, 512
QUIET = "6"  # of torch's profiler, which else writes lines of its own to standard error
CASE = "decode"
NAME = 40  # characters of a kernel's name: templates have thousands


def report_profile(
    spec: Spec,
    shape: str | None,
    prompt: int,
    steps: int,
    as_json: bool,
    out: Path | None,
) -> int:
    """Of `spec`'s model, or of random weights in a `shape` after `prompt` tokens. Raises
    EngineError."""
    if steps < 1 or prompt < 1:
        raise EngineError("There is nothing to profile.", "It takes a step and a prompt token.")
    if shape is not None and shape not in SHAPES:
        raise EngineError(f"There is no shape {shape}.", f"There are: {', '.join(SHAPES)}.")
    found = _profiles(spec, shape, prompt, steps)
    record = profile_record(found, results.origin())
    print(json.dumps(record, allow_nan=False) if as_json else table(found))
    if out:
        path = write_new(out, results.PROFILE_FILE, record)
        print(f"written: {path}", file=sys.stderr)
    return 0


def _profiles(spec: Spec, shape: str | None, prompt: int, steps: int) -> dict[str, Profile]:
    os.environ.setdefault("KINETO_LOG_LEVEL", QUIET)  # read when torch is imported
    from ...engines.profile_runs import profile_model, profile_shape

    print(f"{shape or spec.model}: {steps} steps a round ...", file=sys.stderr)
    if shape:
        return profile_shape(shape, spec, prompt, steps)
    return profile_model(spec, QUESTION, steps)


def profile_record(found: Mapping[str, Profile], origin: Mapping[str, Any]) -> dict[str, Any]:
    return {**origin, "results": [_row(name, each) for name, each in found.items()]}


def _row(name: str, found: Profile) -> dict[str, Any]:
    return {
        "case": CASE,
        "method": name,
        "device": found.device,
        "steps": found.steps,
        "step_ms": found.step * 1e3,
        "step_ms_raw": [each * 1e3 for each in found.wall],
        "kernels": found.calls,
        "busy_ms": _scaled(found.busy, 1e3),
        "utilisation": found.utilisation,
        "kernel_us": _scaled(found.kernel_time, 1e6),
        "launch_us": _scaled(found.launch, 1e6),
        "launch_in_graph_us": _scaled(found.launch_in_graph, 1e6),
        "weights_bytes": found.weights,
        "bandwidth_gbps": _scaled(found.bandwidth, 1e-9),
        "traffic_estimate": found.traffic,
        "top": [asdict(each) for each in found.top],
        "reasons": found.reasons,
    }


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def table(found: Mapping[str, Profile]) -> str:
    return "\n".join(line for name, each in found.items() for line in _lines(name, each))


def _lines(name: str, found: Profile) -> Iterator[str]:
    wall = [each * 1e3 for each in found.wall]
    yield f"{name} · {found.steps} steps a round, {len(wall)} rounds"
    yield f"  step         {found.step * 1e3:.3f} ms ({min(wall):.3f} to {max(wall):.3f})"
    if found.kernel_time is not None and found.busy is not None:
        what = "kernels" if found.device == "cuda" else "calls into torch"
        average = f"{found.kernel_time * 1e6:.1f} µs each on average"
        yield f"  {'kernels':12} {found.calls:,.0f} {what} a step, {average}"
        share = figures.percent(found.utilisation)
        yield f"  utilisation  {share}: they ran for {found.busy * 1e3:.3f} ms of it"
    if found.launch is not None and found.launch_in_graph is not None:
        launch, replayed = found.launch * 1e6, found.launch_in_graph * 1e6
        yield f"  launch       {launch:.2f} µs for an empty kernel, {replayed:.2f} in a CUDA graph"
    if found.traffic is not None:
        read, speed = figures.size(found.weights), figures.size(found.bandwidth)
        share = figures.percent(found.traffic)
        yield f"  estimate     reading {read} at a copy's {speed}/s takes {share} of a step"
    for kernel in found.top:
        share = figures.percent(kernel.seconds / (found.summed or 1))
        named = one_line(kernel.name, NAME)
        yield f"  {share:>6} {kernel.seconds * 1e6:10,.1f} µs in {kernel.calls:6,.1f} × {named}"
    yield from (f"  {reason}" for reason in dict.fromkeys(found.reasons.values()))
