"""The command line: `tokenhud`, `tokenhud ask`, `tokenhud verify`, `tokenhud bench`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .engines.events import EngineError
from .engines.options import OptionError, Options, Sampling, Spec, from_record, limits
from .kernels.bench.conditions import EFFORTS
from .sessions.clean import clean

EXIT_ERROR = 3  # 1 and 2 are verdicts of comparisons: see `tokenhud bench`


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.run(given)
    except (EngineError, OptionError) as error:
        print(f"tokenhud: {clean(str(error))}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _options() -> _Parser:
    """Afresh for each command with defaults of its own: parsers share what they inherit."""
    options = _Parser(add_help=False)
    _add_options(options, Spec, "what runs")
    _add_options(options, Sampling, "how it picks")
    options.add_argument(
        "--system", default=argparse.SUPPRESS, metavar="TEXT", help="the system text"
    )
    return options


def _parser() -> argparse.ArgumentParser:
    options = _options()
    parser = _Parser(prog="tokenhud", description=__doc__, parents=[options])
    parser.add_argument("--version", action="version", version=f"tokenhud {__version__}")
    parser.add_argument("--plain", action="store_true", help="chat line by line, no full screen")
    parser.add_argument("--load", metavar="NAME", help="go on with a saved session")
    parser.set_defaults(run=_chat)
    commands = parser.add_subparsers(title="commands", parser_class=_Parser, metavar="COMMAND")

    ask = commands.add_parser("ask", parents=[options], help="answer one message and leave")
    ask.add_argument("text", nargs="*", help="the message; standard input is added to it")
    ask.add_argument("--json", action="store_true", help="print answer and figures as JSON")
    ask.add_argument("--log", metavar="FILE", type=Path, help="write the session's log here")
    ask.set_defaults(run=_ask)

    for name, run, about in (
        ("verify", _verify, "check that no drafter changes the answer to a message"),
        ("tune", _tune, "try several γ on a message"),
    ):
        trial = commands.add_parser(name, parents=[options], help=about)
        trial.add_argument("text", nargs="*", help="the message; standard input is added to it")
        trial.add_argument("--json", action="store_true", help="print the results as JSON")
        trial.set_defaults(run=run)

    compare = commands.add_parser("compare", help="set variants side by side")
    sides = compare.add_subparsers(title="comparisons", parser_class=_Parser, required=True)
    quant = sides.add_parser("quant", parents=[options], help="the weights in every form")
    quant.add_argument("text", nargs="*", help="the message; without one, built-in prompts")
    quant.add_argument("--json", action="store_true", help="print the results as JSON")
    quant.set_defaults(run=_compare_quant)

    bench = commands.add_parser("bench", help="measure")
    kinds = bench.add_subparsers(title="benchmarks", parser_class=_Parser, required=True)
    runs = _Parser(add_help=False)
    runs.add_argument("--runs", type=int, default=5, metavar="N")
    runs.add_argument("--json", action="store_true", help="print the raw samples, as JSON")
    peers = kinds.add_parser("peers", parents=[_options(), runs], help="beside transformers")
    peers.set_defaults(run=_bench_peers, length="128")
    drafters = kinds.add_parser(
        "drafters", parents=[_options(), runs], help="every drafter beside plain decoding"
    )
    drafters.add_argument("prompts", nargs="*", metavar="PROMPT", help="built-in prompts; all")
    drafters.add_argument("--no-peers", action="store_true", help="leave transformers out")
    drafters.set_defaults(run=_bench_drafters, length="128")
    screen = kinds.add_parser("screen", parents=[runs], help="what the screen costs")
    screen.add_argument("--length", type=int, default=200, metavar="N", help="tokens an answer")
    screen.add_argument("--turns", type=int, default=1, metavar="N", help="answers a run")
    screen.set_defaults(run=_bench_screen)
    _add_measuring(commands)
    gpu = kinds.add_parser("gpu", parents=[runs], help="decoding on a GPU, random weights")
    gpu.add_argument("--shape", default="qwen2.5-1.5b", metavar="NAME", help="of the model")
    gpu.add_argument("--prompt", type=int, default=512, metavar="N", help="tokens before it")
    gpu.add_argument("--length", type=int, default=128, metavar="N", help="tokens an answer")
    gpu.add_argument("--dtype", default="bfloat16", metavar="NAME")
    gpu.add_argument("--quantize", default="none", metavar="none|int8|int4")
    gpu.add_argument("--compiled", action="store_true", help="with transformers, torch.compile")
    gpu.set_defaults(run=_bench_gpu)
    return parser


def _add_measuring(commands: Any) -> None:
    kernels = commands.add_parser("kernels", help="time every GPU kernel beside torch")
    kernels.add_argument("names", nargs="*", metavar="NAME", help="of kernels; all")
    kernels.add_argument("--batch", type=_count, metavar="N", help="rows, or texts of bk_core")
    kernels.add_argument("--seq", type=_count, metavar="N", help="positions")
    kernels.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    kernels.add_argument("--json", metavar="FILE", help="write the results here; - prints them")
    kernels.set_defaults(run=_kernels)
    kpi = commands.add_parser("kpi", help="whether speed, error and memory reach their targets")
    kpi.add_argument("names", nargs="*", metavar="NAME", help="bk, memory, throughput; all")
    kpi.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    kpi.set_defaults(run=_kpi)
    for command in (kernels, kpi):
        effort = command.add_mutually_exclusive_group()
        for name, (runs, warmup) in EFFORTS.items():
            about = f"{runs} runs after {warmup} warm-ups"
            effort.add_argument(
                f"--{name}", dest="effort", action="store_const", const=name, help=about
            )
        command.set_defaults(effort="normal")
        command.add_argument("--runs", type=_count, metavar="N", help="in place of these")
        command.add_argument("--warmup", type=_count, metavar="N", help="in place of these")
        command.add_argument(
            "--out", type=Path, metavar="DIR", help="write results here; none is overwritten"
        )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def _add_options(parser: argparse.ArgumentParser, options: type[Options], title: str) -> None:
    group = parser.add_argument_group(title)
    for each in fields(options):
        rule = limits(options, each.name)
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            dest=each.name,
            default=argparse.SUPPRESS,
            metavar="|".join(rule["names"]) if "names" in rule else each.name[0].upper(),
            help=f"{rule['about']} (default: {_default(each.default, rule)})",
        )


def _default(value: object, rule: Any) -> object:
    return rule["off"] if value is None else value


def _chosen(options: type[Options], given: argparse.Namespace) -> Options:
    """Options from the typed words; raises OptionError with the range."""
    record = {
        each.name: _typed(str(each.type), limits(options, each.name), getattr(given, each.name))
        for each in fields(options)
        if hasattr(given, each.name)
    }
    return from_record(options, record)


def _typed(kind: str, rule: Any, text: str) -> Any:
    if "low" not in rule or not text.isascii() or "_" in text:
        return text
    if text == rule["off"]:
        return None
    try:
        return float(text) if "float" in kind else int(text)
    except ValueError:
        return text


def _chat(given: argparse.Namespace) -> int:
    from .tui.start import chat_in_terminal

    return chat_in_terminal(
        _chosen(Spec, given),
        _chosen(Sampling, given),
        getattr(given, "system", None),
        given.load,
        given.plain,
    )


def _ask(given: argparse.Namespace) -> int:
    from .tui.ask import ask

    return ask(
        " ".join(given.text),
        _chosen(Spec, given),
        _chosen(Sampling, given),
        getattr(given, "system", None),
        given.log,
        given.json,
    )


def _verify(given: argparse.Namespace) -> int:
    from .tui.trials import verify_text

    return verify_text(*_trial(given))


def _tune(given: argparse.Namespace) -> int:
    from .tui.trials import tune_text

    return tune_text(*_trial(given))


def _compare_quant(given: argparse.Namespace) -> int:
    from .tui.trials import compare_text

    return compare_text(*_trial(given))


def _trial(given: argparse.Namespace) -> tuple[str, Spec, Sampling, str | None, bool]:
    text, system = " ".join(given.text), getattr(given, "system", None)
    return text, _chosen(Spec, given), _chosen(Sampling, given), system, given.json


def _bench_peers(given: argparse.Namespace) -> int:
    from .tui.bench_peers import bench_peers

    length = _chosen(Sampling, given).length
    return bench_peers(_chosen(Spec, given), given.runs, length, given.json)


def _bench_drafters(given: argparse.Namespace) -> int:
    from .sessions.prompts import PROMPTS
    from .tui.bench_drafters import bench_drafters

    unknown = [each for each in given.prompts if each not in PROMPTS]
    if unknown:
        raise EngineError(f"There is no prompt {unknown[0]}.", f"There are: {', '.join(PROMPTS)}.")
    spec, length = _chosen(Spec, given), _chosen(Sampling, given).length
    prompts = given.prompts or list(PROMPTS)
    return bench_drafters(spec, given.runs, length, prompts, not given.no_peers, given.json)


def _bench_gpu(given: argparse.Namespace) -> int:
    from .engines.shapes import SHAPES
    from .tui.bench_gpu import bench_gpu

    if given.shape not in SHAPES:
        raise EngineError(f"There is no shape {given.shape}.", f"There are: {', '.join(SHAPES)}.")
    spec = Spec(dtype=given.dtype, quantize=given.quantize, device="cuda")
    run = (given.prompt, given.length, given.runs)
    return bench_gpu(given.shape, spec, *run, given.compiled, given.json)


def _bench_screen(given: argparse.Namespace) -> int:
    from .tui.bench_screen import bench_screen

    return bench_screen(given.runs, given.length, given.turns, given.json)


def _kernels(given: argparse.Namespace) -> int:
    from .tui.kernels_report import Asked, report_kernels

    runs, warmup = _effort(given)
    return report_kernels(
        Asked(given.names, given.batch, given.seq, runs, warmup, given.dtype, given.json, given.out)
    )


def _kpi(given: argparse.Namespace) -> int:
    from .tui.kpi_report import report_kpis

    return report_kpis(given.names, *_effort(given), given.json, given.out)


def _effort(given: argparse.Namespace) -> tuple[int, int]:
    runs, warmup = EFFORTS[given.effort]
    return given.runs or runs, given.warmup or warmup


if __name__ == "__main__":
    sys.exit(main())
