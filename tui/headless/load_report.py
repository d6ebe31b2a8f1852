"""`tokenhud bench --concurrency`: load on a server, without a screen."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...engines.events import EngineError, Progress
from ...engines.options import Sampling, Spec
from ...sessions.bench.asking import benchmark
from ...sessions.bench.folder import new_name
from ...sessions.bench.load import Bounds, Done, load, load_plan
from ...sessions.bench.load_figures import LIMITS, read_load
from ...sessions.bench.load_written import load_record, load_tables, write_load
from ...sessions.bench.table import as_text
from ...sessions.clean import one_line
from .plain import progress, tell

PASSED, FAILED = 0, 3
MOST = 512  # requests in flight: each takes a file descriptor, of which many systems give 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A load as typed."""

    spec: Spec
    sampling: Sampling
    prompts: Sequence[str]
    exact: Sequence[tuple[int, int]]
    system: str | None
    concurrency: str
    bounds: Bounds
    goodput: Sequence[str]
    out: Path | None
    as_json: bool


def bench_load(asked: Asked) -> int:
    """Exit status: 0, or 3 where it was interrupted or nothing was answered; what was measured
    until then is shown and kept. Raises EngineError."""
    limits = limits_of(asked.goodput)
    what = asked.prompts, asked.exact, (), asked.spec, asked.sampling, asked.system
    _, cases = benchmark(*what)
    plan = load_plan(levels_of(asked.concurrency), cases, asked.bounds, asked.spec, asked.sampling)
    folder = asked.out or new_name(plan.purpose)
    try:
        ended = asyncio.run(load(plan, cases, asked.bounds, folder, _tell))
    except KeyboardInterrupt:  # before the server was found
        return FAILED
    found = read_load(ended.raw, limits)
    tables = [as_text(each) for each in load_tables(found)]
    print(json.dumps(load_record(found), allow_nan=False) if asked.as_json else "\n\n".join(tables))
    for path in write_load(found):
        tell(sys.stderr, f"Written: {one_line(str(path))}")
    answered = any(each.completed for each in found.levels)
    return PASSED if ended.whole and answered else FAILED


def levels_of(text: str) -> list[int]:
    """Of numbers between commas; raises EngineError."""
    found = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdecimal() and 1 <= int(each) <= MOST for each in found):
        raise EngineError(
            f"--concurrency takes numbers from 1 to {MOST}, not {one_line(text, 40)}.",
            "Use: --concurrency 1,4,16",
        )
    return [int(each) for each in found]


def limits_of(texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds by figure, as `ttft:200`; raises EngineError."""
    found = {}
    for text in texts:
        name, _, number = text.partition(":")
        try:
            limit = float(number)
        except ValueError:
            limit = 0.0
        if name not in LIMITS or not 0 < limit < float("inf"):
            raise EngineError(
                f"--goodput takes {', '.join(LIMITS)} with milliseconds, not {one_line(text, 40)}.",
                "Use: --goodput ttft:200 tpot:50, after the prompts.",
            )
        found[name] = limit
    return found


def _tell(done: Done) -> None:
    stage = f"{done.level} in flight · {done.requests} of {done.total}"
    progress(Progress(0, stage, done.requests, done.total), sys.stderr)
