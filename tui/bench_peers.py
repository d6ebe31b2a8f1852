"""`tokenhud bench peers`: the native target beside transformers, same prompt and tokens."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from ..engines.events import Message
from ..engines.options import Spec
from . import figures

if TYPE_CHECKING:
    from ..engines.peers import Peers

QUESTION = "Explain how a sailing boat can sail against the wind."
NAMES = ("native", "transformers")


def bench_peers(spec: Spec, runs: int, length: int, as_json: bool) -> int:
    """Interleaved greedy answers of exactly `length` tokens; prints rates and their ratios."""
    from ..engines.catalog import checkpoint  # here: what follows takes torch's seconds
    from ..engines.text import Text
    from ..engines.threads import wait_briefly

    folder = checkpoint(spec.model)
    prompt, _ = Text(folder).prompt([Message("user", QUESTION)])
    wait_briefly()
    from ..engines.peers import measure

    print(f"{runs} runs of {length} tokens each, after one warm-up ...", file=sys.stderr)
    device = "cpu" if spec.device == "auto" else spec.device
    peers = measure(folder, prompt, length, runs, spec.dtype, device, spec.threads)
    rates = {name: [each.decode_rate for each in getattr(peers, name)[1:]] for name in NAMES}
    if as_json:
        print(json.dumps({"decode_tps": rates, **asdict(peers)}, allow_nan=False))
    else:
        print(_table(peers, rates, len(prompt)))
    return 0


def _table(peers: Peers, rates: dict[str, list[float]], prompt: int) -> str:
    ours, theirs = (rates[name] for name in NAMES)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    length, differs = len(peers.native[-1].tokens), peers.first_difference
    same = "the same tokens" if differs is None else f"tokens differ from position {differs} on"
    versions = ", ".join(f"{name} {version}" for name, version in peers.versions.items())
    rows = [
        f"{name:13} {figures.rate(median(rates[name])):>7} tok/s"
        f"   {min(rates[name]):.1f} to {max(rates[name]):.1f}"
        for name in NAMES
    ]
    ratio = f"{'ratio':13} {median(ratios):7.2f}         {min(ratios):.2f} to {max(ratios):.2f}"
    how = f"median of {len(ours)} runs · prompt {prompt}, answer {length} tokens · {same}"
    return "\n".join([*rows, ratio, how, f"{versions} · {peers.threads} threads"])
