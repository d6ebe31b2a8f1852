"""`tokenhud bench peers`: our targets beside transformers, same prompt and number of tokens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from statistics import median
from typing import TYPE_CHECKING

from ...engines.available import version
from ...engines.events import EngineError, Message
from ...engines.options import Spec
from ...sessions import figures
from ...sessions.clean import one_line
from ...sessions.prompts import PROMPTS

if TYPE_CHECKING:
    from ...engines.rounds import Round, Run

REFERENCE = "transformers"
PACKAGES = ("torch", "transformers", "llama-cpp-python", "bitsandbytes", "triton")

Rounds = dict[str, tuple["Round", ...]]


def bench_peers(spec: Spec, prompt: str, runs: int, length: int, as_json: bool) -> int:
    """Interleaved greedy answers of exactly `length` tokens to the built-in `prompt`; prints rates
    and their ratios. What cannot run here is left out, with the reason."""
    require_time(runs, length)
    from ...engines.catalog import checkpoint  # here: what follows takes torch's seconds
    from ...engines.text import Text
    from ...engines.threads import wait_briefly

    wait_briefly()
    said = [Message("user", PROMPTS[prompt])]
    ids, _ = Text(checkpoint(spec.model)).prompt(said)
    engines = _engines(spec, len(ids) + length)
    print(f"{runs} runs of {length} tokens each, after one warm-up ...", file=sys.stderr)
    from ...engines.rounds import measure

    rounds = measure(engines, ids, length, runs)
    print(_as_json(rounds) if as_json else _table(rounds, len(ids)))
    return 0


def require_time(runs: int, length: int) -> None:
    """Raises EngineError where no token after the first would be timed."""
    if runs < 1 or length < 2:
        raise EngineError("There is nothing to time.", "It takes --runs 1 and --length 2 or more.")


def _engines(spec: Spec, context: int) -> dict[str, Run]:
    from ...engines.peers import REACHABLE

    spec = replace(spec, device="cpu" if spec.device == "auto" else spec.device, context=context)
    found: dict[str, Run] = {}
    makers: dict[str, Callable[[Spec], Run]] = REACHABLE
    for name, make in makers.items():
        try:
            found[name] = make(spec)
        except EngineError as error:
            print(f"{name} is left out: {one_line(str(error))}", file=sys.stderr)
    if not found:
        raise EngineError("None of the engines can run this model.", "Name another: --model.")
    return found


def _as_json(rounds: Rounds) -> str:
    raw = {
        name: {
            "decode_tps": [each.decode_rate for each in of[1:]],
            "ttft": [each.ttft for each in of[1:]],
            "rounds": [asdict(each) for each in of],
        }
        for name, of in rounds.items()
    }
    return json.dumps({"engines": raw, "versions": _versions()}, allow_nan=False)


def _table(rounds: Rounds, prompt: int) -> str:
    reference = rounds.get(REFERENCE) or next(iter(rounds.values()))
    rows = [_row(name, of, reference, prompt) for name, of in rounds.items()]
    head = ("", "decode tok/s", "of transformers", "prefill tok/s", "words")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    measured, length = len(reference) - 1, len(reference[-1].tokens)
    how = f"median (lowest to highest) of {measured} runs · prompt {prompt}, answer {length} tokens"
    return "\n".join([*lines, how, ", ".join(f"{a} {b}" for a, b in _versions().items())])


def _row(
    name: str, of: tuple[Round, ...], reference: tuple[Round, ...], prompt: int
) -> tuple[str, ...]:
    from ...engines.rounds import first_difference

    pairs = list(zip(of[1:], reference[1:], strict=True))
    rates = [ours.decode_rate for ours, _ in pairs]
    ratios = [ours.decode_rate / theirs.decode_rate for ours, theirs in pairs]
    differs = first_difference(of[-1], reference[-1])
    return (
        name,
        _spread(rates, figures.rate),
        _spread(ratios, figures.factor),
        _spread([prompt / ours.ttft for ours, _ in pairs], figures.rate),
        "the same" if differs is None else f"differ from token {differs}",
    )


def _spread(numbers: list[float], shown: Callable[[float], str]) -> str:
    return f"{shown(median(numbers))} ({shown(min(numbers))} to {shown(max(numbers))})"


def _versions() -> dict[str, str]:
    return {name: found for name in PACKAGES if (found := version(name))}
