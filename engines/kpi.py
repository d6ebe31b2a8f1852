"""Memory and throughput of one forward pass over a batch of texts, as the KPIs ask for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .events import EngineError
from .llama import Llama, Places, forward, logits
from .rope import turns

GB = 1024**3  # as the KPIs count it
SEED = 42
WARMUP = 1


@dataclass(frozen=True, slots=True)
class Memory:
    batch: int
    seq: int
    dtype: str
    device: str
    nbytes: int

    @property
    def gb(self) -> float:
        return self.nbytes / GB


@dataclass(frozen=True, slots=True)
class Throughput:
    """All positions of all texts in one pass: prefill, and no decoding speed."""

    batch: int
    seq: int
    dtype: str
    device: str
    seconds: tuple[float, ...]  # of each iteration

    @property
    def tokens(self) -> int:
        return self.batch * self.seq * len(self.seconds)

    @property
    def rate(self) -> float:
        """Tokens/s."""
        return self.tokens / sum(self.seconds)


def measure_memory(model: Llama, batch: int, seq: int, dtype: torch.dtype) -> Memory:
    """The peak that torch allocates in one pass, weights included. Raises EngineError without a
    GPU, or where the model holds another dtype."""
    _require(model, dtype)
    if not model.embedding.is_cuda:
        raise EngineError("Peak memory is measured on a CUDA device.", "Move the model to one.")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    _pass(model, batch, seq)()
    torch.cuda.synchronize()
    return Memory(batch, seq, _name(dtype), _device(model), torch.cuda.max_memory_allocated())


def measure_throughput(
    model: Llama,
    batch: int,
    seq: int,
    iterations: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Throughput:
    """After one warm-up; the device has finished before each reading of `clock`, in ns."""
    run = _pass(model, batch, seq)
    for _ in range(WARMUP):
        run()
    seconds = []
    for _ in range(iterations):
        _wait(model)
        start = clock()
        run()
        _wait(model)
        seconds.append((clock() - start) / 1e9)
    dtype = _name(model.embedding.dtype)
    return Throughput(batch, seq, dtype, _device(model), tuple(seconds))


@torch.inference_mode()
def batch_logits(model: Llama, ids: Tensor) -> Tensor:
    """Logits [batch, n, vocabulary] of texts `ids` [batch, n], each from its beginning."""
    batch, n = ids.shape
    return _packed(model, batch, n)(ids.flatten().tolist()).view(batch, n, -1)


def _pass(model: Llama, batch: int, seq: int) -> Callable[[], Tensor]:
    """One pass over random ids."""
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(model.config.vocab_size, (batch * seq,), generator=generator).tolist()
    packed = _packed(model, batch, seq)
    return torch.inference_mode()(lambda: packed(ids))


def _packed(model: Llama, batch: int, n: int) -> Callable[[list[int]], Tensor]:
    """The pass of the native target over `batch` texts of `n` tokens laid end to end, each of
    which sees itself alone: a batch without a second forward."""
    config, device, dtype = model.config, model.embedding.device, model.embedding.dtype
    heads, length = config.num_key_value_heads, batch * n
    shape = (len(model.layers), 2, heads, length, config.head_dim)
    cache = torch.empty(shape, dtype=dtype, device=device)
    text = torch.arange(batch, device=device).repeat_interleave(n)
    mask = (text[:, None] == text).tril_()
    shifts = turns(config.rope, n, str(device)).repeat(batch, 1)[:, None]
    places = Places(slice(0, length), length, shifts, mask)
    return lambda ids: logits(model, forward(model, ids, cache, places))


def _require(model: Llama, dtype: torch.dtype) -> None:
    held = model.embedding.dtype
    if held != dtype:
        raise EngineError(
            f"The model is held in {_name(held)}, not in {_name(dtype)}.",
            f"Make it with random_model(dtype=torch.{_name(dtype)}).",
        )


def _wait(model: Llama) -> None:
    if model.embedding.is_cuda:
        torch.cuda.synchronize()


def _device(model: Llama) -> str:
    return model.embedding.device.type


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
