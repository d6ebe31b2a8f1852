"""`tokenhud bench --concurrency`: a server under load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_prompts, chosen, count, options, pairs
from .engines.options import Sampling, Spec
from .sessions.bench.scenarios import USUAL


def add_load(kinds: Any) -> None:
    load = kinds.add_parser(
        "load", parents=[options()], help="a server under load (usual with --concurrency)"
    )
    add_prompts(load)
    load.add_argument(
        "--concurrency", required=True, metavar="N,N,...", help="requests in flight, level by level"
    )
    load.add_argument("--requests", type=count, metavar="N", help="of a level at most (32)")
    load.add_argument(
        "--duration", type=count, metavar="S", help="seconds of a level at most (300)"
    )
    load.add_argument(
        "--goodput",
        nargs="+",
        default=[],
        metavar="NAME:MS",
        help="limits of ttft, tpot and e2el within which a request is good; after the prompts",
    )
    load.add_argument("--out", type=Path, metavar="DIR", help="results go here")
    load.add_argument("--json", action="store_true", help="print load.json")
    load.set_defaults(run=_load)


def _load(given: argparse.Namespace) -> int:
    from .sessions.bench.load import DURATION, REQUESTS, Bounds
    from .tui.headless.load_report import Asked, bench_load

    return bench_load(
        Asked(
            spec=chosen(Spec, given),
            sampling=chosen(Sampling, given, USUAL),
            prompts=given.prompts,
            exact=pairs(given.exact),
            system=getattr(given, "system", None),
            concurrency=given.concurrency,
            bounds=Bounds(given.requests or REQUESTS, float(given.duration or DURATION)),
            goodput=given.goodput,
            out=given.out,
            as_json=given.json,
        )
    )
