"""One thing to measure: a kernel on inputs as decoding gives them, and the same work in torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SEED = 42
CACHES = 2  # of the device's L2 cache: as much as the copies of an input must exceed
MOST_COPIES = 64


class Shape(NamedTuple):
    hidden: int
    intermediate: int
    queries: int
    keys: int
    dim: int
    vocabulary: int


LARGE = Shape(1536, 8960, 12, 2, 128, 151936)  # Qwen2.5-1.5B
SMALL = Shape(64, 128, 4, 2, 16, 300)  # what the interpreter gets through in seconds


@dataclass(frozen=True, slots=True)
class Case:
    """`triton`, `torch` and `fast` (torch's own fused path, if any) take the index of one of
    `copies` equal inputs: what streams from memory must not be found in a cache. `nbytes` is what
    one call must read and write at the least. `check` gives a fresh result and the true one."""

    name: str
    shape: str
    nbytes: int
    copies: int
    triton: Callable[[int], object]
    torch: Callable[[int], object]
    check: Callable[[], tuple[Tensor, Tensor]]
    fast: Callable[[int], object] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the inputs of all cases are made of: `batch` rows, and `seq` positions in the cache."""

    shape: Shape
    batch: int
    seq: int
    dtype: torch.dtype
    device: str
    generator: torch.Generator

    @classmethod
    def on(cls, device: str, shape: Shape, batch: int, seq: int, dtype: torch.dtype) -> Setting:
        return cls(shape, batch, seq, dtype, device, torch.Generator(device).manual_seed(SEED))

    def normal(self, *shape: int, spread: float = 1.0) -> Tensor:
        values = torch.empty(shape, dtype=self.dtype, device=self.device)
        return values.normal_(0, spread, generator=self.generator)

    def copies(self, nbytes: int) -> int:
        """How many inputs of `nbytes` it takes that none is still in the cache at its turn."""
        if self.device != "cuda":
            return 1
        cache = torch.cuda.get_device_properties(self.device).L2_cache_size
        return min(MOST_COPIES, 1 + math.ceil(CACHES * cache / nbytes))
