"""Decoding with a whole model on a GPU: our kernels beside torch's and transformers.

Weights are random, since only shapes decide the speed, and the same for all.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kernels.bench.measure import bandwidth, stopwatch
from .checkpoint import config_of
from .choosing import choose
from .events import EngineError
from .gpu import open_gpu
from .hf_library import library
from .kv_cache import KvCache
from .llama import load
from .native import NativeTarget
from .options import Sampling, Spec
from .rounds import Round, Run, measure, target_run
from .shapes import SHAPES

BLOCKS = (1, 2, 4, 5, 8, 9, 16)
PASSES = 30


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """Rounds as `rounds.measure` has them; `verify` is the median seconds of a pass over so many
    tokens, picks and the host's work included."""

    card: str
    bandwidth: float  # bytes/s of a large copy, read and written bytes counted
    weights: int  # bytes that a token reads
    rounds: dict[str, tuple[Round, ...]]
    verify: dict[str, dict[int, float]]
    peak_memory: int
    notes: tuple[str, ...]

    @property
    def limit(self) -> float:
        """Tokens/s if nothing but reading the weights took time."""
        return self.bandwidth / self.weights


def measure_gpu(
    shape: str, spec: Spec, prompt: int, length: int, rounds: int, compiled: bool
) -> GpuFigures:
    """`compiled` adds transformers with a static cache under torch.compile, which takes about a
    minute to compile. Raises EngineError without a GPU or transformers."""
    if not torch.cuda.is_available():
        raise EngineError("There is no CUDA device on this machine.", "Run it where there is one.")
    kind: torch.dtype = getattr(torch, spec.dtype)
    context = prompt + length + 32
    torch.manual_seed(0)
    theirs = _transformers_model(SHAPES[shape], kind)
    ids = torch.randint(SHAPES[shape]["vocab_size"], (prompt,)).tolist()
    plain, ours, weights, notes = _targets(SHAPES[shape], theirs.state_dict(), spec, context)
    torch.cuda.reset_peak_memory_stats()
    runs = {"native, our kernels": target_run(ours), "native, torch": target_run(plain)}
    if compiled:
        theirs_run = _compiled_run(theirs, context)
        try:
            theirs_run(ids, 8)  # compiles
        except Exception as error:  # whatever its compiler raises leaves it out, with the reason
            reason = (str(error).strip().splitlines() or ["no message"])[0][:300]
            notes += (f"transformers compiled is left out: {type(error).__name__}: {reason}",)
        else:
            runs["transformers, static cache, compiled"] = theirs_run
    finished = measure(runs, ids, length, rounds)
    targets = {"native, our kernels": ours, "native, torch": plain}
    return GpuFigures(
        card=torch.cuda.get_device_name(),
        bandwidth=bandwidth("cuda", stopwatch("cuda")) * 1e9,
        weights=weights,
        rounds=finished,
        verify={name: _verify(target, ids) for name, target in targets.items()},
        peak_memory=torch.cuda.max_memory_allocated(),
        notes=notes,
    )


def _targets(
    shape: dict[str, Any], tensors: dict[str, Tensor], spec: Spec, context: int
) -> tuple[NativeTarget, NativeTarget, int, tuple[str, ...]]:
    config = config_of(shape)
    dtype: torch.dtype = getattr(torch, spec.dtype)
    model = load(config, tensors, dtype, "cuda", spec.quantize)
    plain = NativeTarget(model, KvCache(config, dtype, "cuda", context))
    cache = KvCache(config, dtype, "cuda", context)
    gpu, notes = open_gpu(model, cache, "on")
    ours = NativeTarget(model, cache, gpu)
    return plain, ours, model.bytes_read(), (*model.notes(), *notes)


def _verify(target: NativeTarget, ids: Sequence[int]) -> dict[int, float]:
    """Seconds of a pass over a block of tokens after `ids`, the picks on the host."""
    found = {}
    for block in BLOCKS:
        text = [*ids, *range(block)]
        target.logits(ids, 0)
        times = []
        for _ in range(PASSES + 3):
            began = time.perf_counter()
            list(choose(target, text, block, Sampling())[0])
            times.append(time.perf_counter() - began)
            target.logits(ids, 0)  # takes the block back
        found[block] = statistics.median(times[3:])
    return found


def _transformers_model(shape: dict[str, Any], dtype: torch.dtype) -> Any:
    transformers: Any = library()
    options = {name: value for name, value in shape.items() if name != "architectures"}
    config = transformers.AutoConfig.for_model(**options)
    with torch.device("cuda"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval()


def _compiled_run(model: Any, context: int) -> Run:
    """As fast as transformers decodes: its forward compiled into CUDA graphs, the ids left on the
    device until the end. So only the whole is timed, and its times are spread evenly."""
    transformers: Any = library()
    static_cache = transformers.StaticCache
    forward: Callable[..., Any] = torch.compile(
        model.forward, mode="reduce-overhead", fullgraph=True
    )
    cache = static_cache(config=model.config, max_cache_len=context)
    takes = inspect.signature(model.forward).parameters
    held = {"cache" if "cache" in takes else "past_key_values": cache}

    def advance(run: Callable[..., Any], ids: Tensor, at: Tensor) -> Tensor:
        where = {"cache_position": at} if "cache_position" in takes else {}
        options = {"position_ids": at[None], "use_cache": True, "logits_to_keep": 1}
        rows = run(input_ids=ids, **options, **where, **held).logits
        token: Tensor = rows[:, -1].argmax(-1, keepdim=True).clone()
        return token

    @torch.inference_mode()
    def run(prompt: Sequence[int], length: int) -> Round:
        cache.reset()
        start = time.perf_counter_ns()
        ids = torch.tensor([list(prompt)], device="cuda")
        at = torch.arange(len(prompt), device="cuda")
        tokens = [advance(model.forward, ids, at)]
        torch.cuda.synchronize()
        first = time.perf_counter_ns()
        at = at[-1:] + 1
        for _ in range(length - 1):
            tokens.append(advance(forward, tokens[-1], at))
            at = at + 1
        said = tuple(torch.cat(tokens, 1)[0].tolist())
        span = time.perf_counter_ns() - first
        times = tuple(first + span * done // (length - 1) for done in range(length))
        return Round(said, start, times)

    return run
