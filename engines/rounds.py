"""Engines beside each other: same prompt, same number of tokens, in turns."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .choosing import Target
from .drafters import Plain
from .events import EngineError
from .loop import Fixed, decode
from .options import Sampling

Run = Callable[[Sequence[int], int], "Round"]


@dataclass(frozen=True, slots=True)
class Round:
    """One answer: its tokens, and when each came."""

    tokens: tuple[int, ...]
    start_ns: int
    token_ns: tuple[int, ...]  # when each token was on the host, prefill in the first

    @property
    def ttft(self) -> float:
        """Seconds to the first token, which are those of the prompt."""
        return (self.token_ns[0] - self.start_ns) / 1e9

    @property
    def decode_rate(self) -> float:
        """Tokens/s after the first step, which may bring several."""
        first, last = self.token_ns[0], self.token_ns[-1]
        after = sum(each > first for each in self.token_ns)
        return after * 1e9 / (last - first) if after else 0.0


def measure(
    runs: Mapping[str, Run], prompt: Sequence[int], length: int, rounds: int
) -> dict[str, tuple[Round, ...]]:
    """Greedy answers of exactly `length` tokens by each, `rounds` times after one warm-up, in
    ABBA order so that a machine that slows down treats all alike. No stop id ends an answer.
    The rounds of each are in the order they ran; the first is the warm-up and no measurement."""
    finished: dict[str, list[Round]] = {name: [] for name in runs}
    order = list(runs.items())
    for _ in range(rounds + 1):
        for name, run in order:
            finished[name].append(run(prompt, length))
        order.reverse()
    return {name: tuple(each) for name, each in finished.items()}


def first_difference(ours: Round, theirs: Round) -> int | None:
    """Index of the first token in which the two differ, None where they agree."""
    pairs = enumerate(zip(ours.tokens, theirs.tokens, strict=True))
    return next((at for at, (one, other) in pairs if one != other), None)


def target_run(target: Target) -> Run:
    """The loop without an engine around it, plain, on an empty cache."""

    def run(prompt: Sequence[int], length: int) -> Round:
        target.logits([], 0)  # forgets the last round
        tokens: list[int] = []
        times: list[int] = []
        start = time.perf_counter_ns()
        for block in decode(target, Plain(), prompt, Sampling(), Fixed(1), (), length):
            tokens += block.tokens
            times.append(time.perf_counter_ns())
        return Round(tuple(tokens), start, tuple(times))

    return run


def transformers_run(
    folder: Path, dtype: str, device: str, stop: Sequence[int] = (), **settings: Any
) -> Run:
    """generate() with its default cache and settings, but for the stop ids and `settings`. Its own
    prompt lookup is prompt_lookup_num_tokens=N."""
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise EngineError(
            "transformers is not installed.", "Run: pip install 'tokenhud[hf]'"
        ) from None
    kind = getattr(torch, dtype)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind).to(device)
    model.generation_config = transformers.GenerationConfig(
        do_sample=False, eos_token_id=list(stop) or None
    )

    def run(prompt: Sequence[int], length: int) -> Round:
        ids = torch.tensor([list(prompt)], device=device)
        mask, stamps = torch.ones_like(ids), _Stamps()
        start = time.perf_counter_ns()
        answer = model.generate(
            ids, attention_mask=mask, max_new_tokens=length, streamer=stamps, **settings
        )
        tokens = answer[0, len(prompt) :].tolist()
        return Round(tuple(tokens), start, stamps.times)

    return run


class _Stamps:
    """A streamer that notes when each token arrives; the first call brings the prompt."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._prompt = 0

    @property
    def times(self) -> tuple[int, ...]:
        return tuple(self._times[self._prompt :])

    def put(self, tokens: torch.Tensor) -> None:
        self._prompt = self._prompt or tokens.numel()
        self._times += [time.perf_counter_ns()] * tokens.numel()

    def end(self) -> None:
        pass
