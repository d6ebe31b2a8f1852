"""`tokenhud bench screen`: what the screen costs, and how soon it answers a key.

The program runs in a pseudo-terminal and, for comparison, line by line without a screen. Both
answer the same questions on engine processes of their own, taking turns at going first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from ...engines.events import EngineError
from ...sessions.metrics import turn_metrics
from ...sessions.reading import only_records, read
from ...sessions.summary import percentile, split_turns
from .pseudo_terminal import PseudoTerminal

WARM_UP = "Say hello."
QUESTION = "Write a long story about a lighthouse keeper and the sea."  # seldom ends by itself
FIRST_WORD = b"sk something"  # of the empty input; its first letter is under the cursor
KEY = "~"  # a character that the answer does not hold
PROGRAM = [sys.executable, "-m", "tokenhud"]
ANSWER_SECONDS = 900.0
BETWEEN_KEYS = 0.4  # seconds


@dataclass(slots=True)
class Samples:
    screen_tps: list[float] = field(default_factory=list)  # decode tokens/s of each run
    headless_tps: list[float] = field(default_factory=list)
    key_ms: list[float] = field(default_factory=list)  # from a key to what it draws
    first_paint_ms: list[float] = field(default_factory=list)  # from the start of the program


def bench_screen(runs: int, length: int, turns: int, as_json: bool) -> int:
    samples = Samples()
    for run in range(runs):
        print(f"run {run + 1} of {runs}", file=sys.stderr)
        for measure in (_headless, _with_screen)[:: 1 if run % 2 else -1]:
            measure(length, turns, samples)
    if as_json:
        print(json.dumps({"length": length, "turns": turns, **asdict(samples)}, allow_nan=False))
    else:
        print(_table(samples))
    return 0


def _headless(length: int, turns: int, samples: Samples) -> None:
    with _home() as home:
        typed = "\n".join([WARM_UP, *[QUESTION] * turns, "/quit\n"])
        command = [*PROGRAM, "--plain", f"--length={length}"]
        subprocess.run(command, input=typed, text=True, env=_env(home), capture_output=True)
        samples.headless_tps.append(_rate(home))


def _with_screen(length: int, turns: int, samples: Samples) -> None:
    with _home() as home:
        began = time.perf_counter()
        terminal = PseudoTerminal([*PROGRAM, f"--length={length}"], _env(home))
        try:
            terminal.read_until(lambda seen: FIRST_WORD in seen, 30)
            samples.first_paint_ms.append((time.perf_counter() - began) * 1e3)
            for turn, question in enumerate([WARM_UP, *[QUESTION] * turns], start=1):
                terminal.type(f"{question}\r")
                _wait(terminal, home, turn)
            samples.screen_tps.append(_rate(home))
            terminal.type(f"{QUESTION}\r")
            _wait(terminal, home, turns + 2, lambda: _press(terminal, samples))
        finally:
            terminal.close()


def _wait(
    terminal: PseudoTerminal, home: Path, turns: int, meanwhile: Callable[[], None] | None = None
) -> None:
    """Drains the screen until so many turns have ended."""
    ends = time.monotonic() + ANSWER_SECONDS
    while _answered(home) < turns:
        if time.monotonic() > ends:
            raise EngineError("The answer did not end in time.", "Use a smaller --length.")
        terminal.read_until(lambda _: False, BETWEEN_KEYS)
        if meanwhile:
            meanwhile()


def _press(terminal: PseudoTerminal, samples: Samples) -> None:
    """Types one character while the answer streams and waits until it is drawn."""
    began = time.perf_counter()
    terminal.type(KEY)
    if terminal.read_until(lambda seen: KEY.encode() in seen, 2.0):
        samples.key_ms.append((time.perf_counter() - began) * 1e3)


def _answered(home: Path) -> int:
    logs = list((home / "sessions").glob("*.jsonl"))
    return logs[0].read_bytes().count(b'"type":"stop"') if logs else 0


def _rate(home: Path) -> float:
    """Decode tokens/s over the turns after the warm-up."""
    (log,) = (home / "sessions").glob("*.jsonl")
    turns = [turn_metrics(turn.events) for turn in split_turns(only_records(read(log)))[1:]]
    tokens = sum(turn.decode_tokens for turn in turns)
    return tokens * 1e9 / sum(turn.decode_ns or 0 for turn in turns)


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tokenhud-bench-") as folder:
        yield Path(folder)


def _env(home: Path) -> dict[str, str]:
    return {**os.environ, "TOKENHUD_HOME": str(home), "TERM": "xterm-256color"}


def _table(samples: Samples) -> str:
    ratios = [a / b for a, b in zip(samples.screen_tps, samples.headless_tps, strict=True)]
    key, p95 = median(samples.key_ms), percentile(samples.key_ms, 95).value
    late = "–" if p95 is None else f"{p95:.0f}"
    return "\n".join(
        [
            f"headless     {median(samples.headless_tps):8.2f} tok/s",
            f"with screen  {median(samples.screen_tps):8.2f} tok/s",
            f"ratio        {median(ratios):8.3f}  ({min(ratios):.3f} to {max(ratios):.3f})",
            f"key to screen {key:7.0f} ms median, p95 {late} ms, n = {len(samples.key_ms)}",
            f"first paint  {median(samples.first_paint_ms):8.0f} ms",
        ]
    )
