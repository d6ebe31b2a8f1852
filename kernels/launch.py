"""What launching the kernels has in common: configurations, scratch memory, dependent launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import num_threads

PROCESSORS = 132  # of an H100 or H200
ROWS = 16  # rows of a block, padded: the least that a tensor core takes
PARTIALS = 1 << 20  # floats of scratch: 512 programs, each with a tile of 64 by ROWS, twice over
COUNTERS = 4096
OPERANDS = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}


class Config(NamedTuple):
    """How a kernel tiles a product; chosen from shapes, never from the number of rows."""

    block_n: int  # output columns of a program
    block_k: int  # inner positions of one step of its loop
    split_k: int  # programs that share the inner dimension of one tile
    warps: int
    stages: int  # loads in flight: depth of the software pipeline
    prefetch: int = 0  # inner positions fetched into L2 while the kernel before still runs
    early: bool = True  # whether the next kernel may start to do so at once, or after the loop
    held: int = 0  # steps whose weights are loaded while the kernel before still runs


@dataclass(frozen=True, slots=True)
class Workspace:
    """Scratch of kernels that split a sum over programs. Launches in one stream may share it.

    The counters are zero between launches: the last program to arrive sets them back, so that a
    CUDA graph can replay.
    """

    partials: Tensor  # float32 [PARTIALS]
    counters: Tensor  # int32 [COUNTERS]

    @classmethod
    def on(cls, device: torch.device | str) -> Workspace:
        return cls(
            torch.empty(PARTIALS, dtype=torch.float32, device=device),
            torch.zeros(COUNTERS, dtype=torch.int32, device=device),
        )

    @classmethod
    def shared(
        cls, given: Workspace | None, device: torch.device, tiles: int, split: int, columns: int
    ) -> Workspace:
        """What is given, or one of its own, for so many tiles that are split so many ways."""
        workspace = given or cls.on(device)
        workspace.check(tiles, split, columns)
        return workspace

    def check(self, tiles: int, split: int, columns: int) -> None:
        """ValueError where so many tiles, split so many ways, do not fit."""
        if tiles > COUNTERS or split * ROWS * (columns + tiles) > PARTIALS:
            raise ValueError(f"{tiles} tiles split {split} ways are more than the scratch holds.")


class Sums(NamedTuple):
    """A product with normed rows whose last step is left to whoever reads it: the partial sums of
    the programs that shared it, to be added in their order, then normed, then given the bias."""

    partials: Tensor  # float32: [splits, ROWS, columns], then the squares [.., splits, ROWS]
    splits: int
    rows: int
    columns: int
    inner: int
    eps: float
    bias: Tensor | None
    dtype: torch.dtype


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return bool(triton.knobs.runtime.interpret)


def operand(dtype: torch.dtype) -> tl.dtype:
    """The type in which tiles of that type enter `tl.dot`: their own, except that the interpreter
    multiplies bfloat16 as if its bits were integers."""
    if interpreted() and dtype == torch.bfloat16:
        return tl.float32
    return OPERANDS[dtype]


def splits(blocks: int, most: int) -> int:
    """How many programs share `blocks` steps evenly, at most so many."""
    return max(each for each in range(1, most + 1) if blocks % each == 0)


def bound(steps: int) -> int | tl.constexpr:
    """The end of a loop, as an argument that is not baked into the kernel: a loop of constant
    length would be unrolled, and its code no longer stay in a processor's instruction cache. The
    interpreter can loop to constants alone (its scalars are arrays, which numpy 2.4 refuses)."""
    return tl.constexpr(steps) if interpreted() else steps


def pdl(device: torch.device) -> bool:
    """Whether programmatic dependent launch works there: a kernel starts, and may fetch what it
    does not owe to its predecessor, before the predecessor has ended. Hopper and later."""
    return (
        device.type == "cuda"
        and not interpreted()
        and torch.cuda.get_device_capability(device) >= (9, 0)
    )


@triton.jit
def prefetch(weight, col, width, first, PREFETCH: tl.constexpr):
    """Asks for the first positions of each row of a tile, which no earlier kernel may write.

    The bytes of a row are a multiple of 16. A warp issues one request at a time, so the rows are
    spread over the warps, each to one of the threads that would otherwise ask for it alike.
    """
    COPIES: tl.constexpr = max(1, num_threads() // col.shape[0])
    size = PREFETCH * (weight.dtype.element_ty.primitive_bitwidth // 8)
    once = tl.where(tl.arange(0, COPIES) == 0, size, 0)[None, :]
    places = (weight + (col.to(tl.int64) * width + first))[:, None]
    tl.inline_asm_elementwise(
        """
        {
        .reg .pred once;
        setp.ne.b32 once, $2, 0;
        @once cp.async.bulk.prefetch.L2.global [$1], $2;
        mov.b32 $0, 0;
        }
        """,
        "=r,l,r",
        [places.to(tl.int64, bitcast=True), once],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def put(
    partials,
    total,
    square,
    tile,
    split,
    row,
    col,
    N,
    ROWS: tl.constexpr,
    SPLIT_K: tl.constexpr,
):
    """Writes this program's sums, as `Sums` describes them."""
    places = partials + ((split * ROWS + row) * N)[None, :] + col[:, None]
    tl.store(places, total, mask=(col < N)[:, None])
    tl.store(partials + SPLIT_K * ROWS * N + (tile * SPLIT_K + split) * ROWS + row, square)


@triton.jit
def leave(
    partials,
    counters,
    total,
    square,
    tile,
    split,
    row,
    col,
    N,
    ROWS: tl.constexpr,
    SPLIT_K: tl.constexpr,
):
    """Writes this program's sums, and counts it; how many were there before it?"""
    put(partials, total, square, tile, split, row, col, N, ROWS, SPLIT_K)
    tl.debug_barrier()
    return tl.atomic_add(counters + tile, 1)


@triton.jit
def collect(partials, total, square, tile, row, col, N, ROWS: tl.constexpr, SPLIT_K: tl.constexpr):
    """The sums of all programs of a tile, added in their order."""
    total = tl.zeros_like(total)
    square = tl.zeros_like(square)
    squares = partials + SPLIT_K * ROWS * N + tile * SPLIT_K * ROWS + row
    for split in tl.static_range(SPLIT_K):  # unrolled, so that all loads are under way at once
        places = partials + ((split * ROWS + row) * N)[None, :] + col[:, None]
        total += tl.load(places, mask=(col < N)[:, None], other=0.0, cache_modifier=".cg")
        square += tl.load(squares + split * ROWS, cache_modifier=".cg")
    return total, square
