"""The commands that measure: bench, replay, compare, report, kernels and kpi."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import (
    Parser,
    add_prompts,
    chosen,
    count,
    count_or_none,
    given_options,
    options,
    pairs,
    share,
)
from .engines.events import EngineError
from .engines.options import Sampling, Spec
from .kernels.bench.conditions import EFFORTS
from .loading import add_load
from .sessions.bench.answers import MEASURES
from .sessions.bench.plan import RUNS, WARMUP, Value
from .sessions.bench.scenarios import LENGTH, USUAL
from .sessions.prompts import PROMPTS

if TYPE_CHECKING:
    from .tui.headless.experiments import Asked

KINDS = ("run", "sweep", "load", "peers", "screen", "gpu", "profile")  # of bench; run is usual


def completed(words: list[str]) -> list[str]:
    """`tokenhud bench S1` is `tokenhud bench run S1`; `compare A B` is `compare sides A B`. With a
    --concurrency it is `bench load`."""
    named = words[:1] == ["bench"] and not (words[1:] and words[1] in KINDS)
    if named and any(each.partition("=")[0] == "--concurrency" for each in words):
        return ["bench", "load", *words[1:]]
    for command, kinds in (("bench", KINDS), ("compare", ("sides", "quant"))):
        if words[:1] == [command] and not (words[1:] and words[1] in (*kinds, "-h", "--help")):
            return [command, kinds[0], *words[1:]]
    return words


def add_measuring(commands: Any) -> None:
    _add_bench(commands)
    _add_replay(commands)
    _add_compare(commands)
    _add_report(commands)
    _add_kernels_and_kpi(commands)


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure: methods by prompts; see bench run --help")
    kinds = bench.add_subparsers(title="benchmarks", parser_class=Parser, required=True)
    run = kinds.add_parser("run", parents=[options(), _asked()], help="methods by prompts (usual)")
    add_prompts(run)
    _add_methods(run)
    run.set_defaults(run=_bench)
    sweep = kinds.add_parser("sweep", parents=[options(), _asked()], help="values of one setting")
    sweep.add_argument("name", metavar="NAME", help="a setting, such as gamma or threads")
    sweep.add_argument("values", metavar="N,N,...", help="its values")
    add_prompts(sweep)
    _add_methods(sweep)
    sweep.set_defaults(run=_sweep)
    add_load(kinds)

    samples = Parser(add_help=False)
    samples.add_argument("--runs", type=int, default=RUNS, metavar="N")
    samples.add_argument("--json", action="store_true", help="print the raw samples, as JSON")
    peers = kinds.add_parser("peers", parents=[options(), samples], help="beside transformers")
    peers.add_argument("prompt", nargs="?", choices=tuple(PROMPTS), default="long")
    peers.set_defaults(run=_bench_peers, length=str(LENGTH))
    screen = kinds.add_parser("screen", parents=[samples], help="what the screen costs")
    screen.add_argument("--length", type=int, default=200, metavar="N", help="tokens an answer")
    screen.add_argument("--turns", type=int, default=1, metavar="N", help="answers a run")
    screen.set_defaults(run=_bench_screen)
    gpu = kinds.add_parser("gpu", parents=[samples], help="decoding on a GPU, random weights")
    gpu.add_argument("--shape", default="qwen2.5-1.5b", metavar="NAME", help="of the model")
    gpu.add_argument("--prompt", type=int, default=512, metavar="N", help="tokens before it")
    gpu.add_argument("--length", type=int, default=128, metavar="N", help="tokens an answer")
    gpu.add_argument("--dtype", default="bfloat16", metavar="NAME")
    gpu.add_argument("--quantize", default="none", metavar="none|int8|int4")
    gpu.add_argument("--compiled", action="store_true", help="with transformers, torch.compile")
    gpu.set_defaults(run=_bench_gpu)
    profile = kinds.add_parser("profile", parents=[options()], help="what the steps spend time on")
    profile.add_argument("--shape", metavar="NAME", help="random weights of this shape; the model")
    profile.add_argument("--prompt", type=count, default=512, metavar="N", help="tokens before it")
    profile.add_argument("--steps", type=count, default=16, metavar="N", help="tokens a round")
    profile.add_argument("--json", action="store_true", help="print it as JSON")
    profile.add_argument("--out", type=Path, metavar="DIR", help="write profile.json here")
    profile.set_defaults(run=_bench_profile)


def _add_methods(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-m",
        "--method",
        action="append",
        default=[],
        dest="methods",
        metavar="METHOD",
        help="as suffix, 'speculative gamma=6', int8+ngram, llama; drafters and weights are all of "
        "them; the first is the one that the others are measured against",
    )


def _asked() -> Parser:
    """How often, and where to."""
    asked = Parser(add_help=False)
    asked.add_argument(
        "--runs", type=count, default=RUNS, metavar="N", help=f"passes through all ({RUNS})"
    )
    asked.add_argument(
        "--warmup",
        type=count_or_none,
        default=WARMUP,
        metavar="N",
        help=f"passes before them, in no figure ({WARMUP})",
    )
    asked.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="results go here; an interrupted run of the same plan there is gone on with",
    )
    asked.add_argument("--json", action="store_true", help="print result.json")
    asked.add_argument("--full", action="store_true", help="print every table of report.md")
    asked.add_argument("--svg", action="store_true", help="write the charts as SVG, not PNG")
    asked.add_argument("--chart", action="store_true", help="draw the charts in the terminal too")
    return asked


def _verdict() -> Parser:
    verdict = Parser(add_help=False)
    verdict.add_argument(
        "--metric",
        default="decode_tps",
        choices=[name for name, each in MEASURES.items() if each.better],
        metavar="NAME",
        help="what is judged: decode_tps (usual), ttft_ms, prefill_tps, e2e_tps, peak_rss, …",
    )
    verdict.add_argument(
        "--threshold", type=share, default=0.1, metavar="SHARE", help="a regression's size (10%%)"
    )
    return verdict


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        parents=[options(), _asked(), _verdict()],
        help="ask a saved chat's messages again, after the same history",
    )
    replay.add_argument("files", nargs="+", metavar="FILE", help="logs, or names of sessions")
    replay.add_argument(
        "--baseline", metavar="FILE", help="results or a log to be judged against (exit 0 to 3)"
    )
    _add_methods(replay)
    replay.set_defaults(run=_replay)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="set two sides, or all forms of weights, apart")
    sides = compare.add_subparsers(title="comparisons", parser_class=Parser, required=True)
    two = sides.add_parser(
        "sides",
        parents=[options(), _asked(), _verdict()],
        help="two results or logs, or two methods that are run in turns (usual)",
    )
    two.add_argument("reference", metavar="A", help="a result folder, a log, or a method")
    two.add_argument("candidate", metavar="B", help="what is judged against it")
    two.add_argument("prompts", nargs="*", metavar="PROMPT", help="for methods; see bench run")
    two.set_defaults(run=_compare)
    quant = sides.add_parser("quant", parents=[options()], help="the weights in every form")
    quant.add_argument("text", nargs="*", help="the message; without one, built-in prompts")
    quant.add_argument("--json", action="store_true", help="print the results as JSON")
    quant.set_defaults(run=_compare_quant)


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="one report of saved results")
    report.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="results; all saved")
    report.add_argument("--out", type=Path, metavar="FILE", help="write it here as Markdown")
    report.add_argument("--json", action="store_true", help="print it as JSON")
    report.add_argument(
        "--form",
        choices=("llama-bench", "vllm", "inference-doctor"),
        help="in place of it the files of another tool, in the folder --out",
    )
    report.add_argument("--list", action="store_true", help="list what is saved")
    report.set_defaults(run=_report)


def _add_kernels_and_kpi(commands: Any) -> None:
    kernels = commands.add_parser("kernels", help="time every GPU kernel beside torch")
    kernels.add_argument("names", nargs="*", metavar="NAME", help="of kernels; all")
    kernels.add_argument("--batch", type=count, metavar="N", help="rows, or texts of bk_core")
    kernels.add_argument("--seq", type=count, metavar="N", help="positions")
    kernels.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    kernels.add_argument("--json", metavar="FILE", help="write the results here; - prints them")
    kernels.set_defaults(run=_kernels)
    kpi = commands.add_parser("kpi", help="whether speed, error and memory reach their targets")
    kpi.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="bk, memory, throughput, or a figure of the file; all",
    )
    kpi.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    kpi.add_argument("--limits", type=Path, metavar="FILE", help="a TOML file in place of ours")
    kpi.add_argument("--results", type=Path, metavar="DIR", help="judge what lies there too")
    kpi.set_defaults(run=_kpi)
    for command in (kernels, kpi):
        effort = command.add_mutually_exclusive_group()
        for name, (runs, warmup) in EFFORTS.items():
            about = f"{runs} runs after {warmup} warm-ups"
            effort.add_argument(
                f"--{name}", dest="effort", action="store_const", const=name, help=about
            )
        command.set_defaults(effort="normal")
        command.add_argument("--runs", type=count, metavar="N", help="in place of these")
        command.add_argument("--warmup", type=count, metavar="N", help="in place of these")
        command.add_argument(
            "--out", type=Path, metavar="DIR", help="write results here; none is overwritten"
        )


def _bench(given: argparse.Namespace) -> int:
    from .tui.headless.experiments import bench

    return bench(given.prompts, pairs(given.exact), given.methods, _how(given))


def _sweep(given: argparse.Namespace) -> int:
    from .tui.headless.experiments import sweep

    what = given.prompts, pairs(given.exact), given.methods
    return sweep(given.name, given.values, *what, _how(given))


def _replay(given: argparse.Namespace) -> int:
    from .tui.headless.experiments import Judged, replay

    judged = Judged(given.baseline, given.metric, given.threshold)
    return replay(given.files, given.methods, judged, _how(given))


def _compare(given: argparse.Namespace) -> int:
    from .tui.headless.experiments import Judged, compare

    judged = Judged(None, given.metric, given.threshold)
    return compare(given.reference, given.candidate, given.prompts, judged, _how(given))


def _how(given: argparse.Namespace) -> Asked:
    from .tui.headless.experiments import Asked

    typed: dict[str, Value] = {**given_options(Spec, given), **given_options(Sampling, given)}
    return Asked(
        spec=chosen(Spec, given),
        sampling=chosen(Sampling, given, USUAL),
        typed=typed,
        system=getattr(given, "system", None),
        runs=given.runs,
        warmup=given.warmup,
        out=given.out,
        as_json=given.json,
        full=given.full,
        chart=given.chart,
        svg=given.svg,
    )


def _compare_quant(given: argparse.Namespace) -> int:
    from .tui.headless.trials import compare_text

    text, system = " ".join(given.text), getattr(given, "system", None)
    return compare_text(text, chosen(Spec, given), chosen(Sampling, given), system, given.json)


def _report(given: argparse.Namespace) -> int:
    from .tui.headless.results_report import convert, report

    if given.form:
        return convert(given.folders, given.form, given.out)
    return report(given.folders, given.out, given.json, given.list)


def _bench_peers(given: argparse.Namespace) -> int:
    from .tui.headless.bench_peers import bench_peers

    length = chosen(Sampling, given).length
    return bench_peers(chosen(Spec, given), given.prompt, given.runs, length, given.json)


def _bench_gpu(given: argparse.Namespace) -> int:
    from .engines.shapes import SHAPES
    from .tui.headless.bench_gpu import bench_gpu

    if given.shape not in SHAPES:
        raise EngineError(f"There is no shape {given.shape}.", f"There are: {', '.join(SHAPES)}.")
    spec = Spec(dtype=given.dtype, quantize=given.quantize, device="cuda")
    run = (given.prompt, given.length, given.runs)
    return bench_gpu(given.shape, spec, *run, given.compiled, given.json)


def _bench_screen(given: argparse.Namespace) -> int:
    from .tui.headless.bench_screen import bench_screen

    return bench_screen(given.runs, given.length, given.turns, given.json)


def _bench_profile(given: argparse.Namespace) -> int:
    from .tui.headless.profile_report import report_profile

    what = given.shape, given.prompt, given.steps
    return report_profile(chosen(Spec, given), *what, given.json, given.out)


def _kernels(given: argparse.Namespace) -> int:
    from .tui.headless.kernels_report import Asked, report_kernels

    runs, warmup = _effort(given)
    return report_kernels(
        Asked(given.names, given.batch, given.seq, runs, warmup, given.dtype, given.json, given.out)
    )


def _kpi(given: argparse.Namespace) -> int:
    from .tui.headless.kpi_report import report_kpis

    effort = _effort(given)
    return report_kpis(
        given.names, *effort, given.json, given.out, limits=given.limits, folder=given.results
    )


def _effort(given: argparse.Namespace) -> tuple[int, int]:
    runs, warmup = EFFORTS[given.effort]
    return given.runs or runs, given.warmup or warmup
