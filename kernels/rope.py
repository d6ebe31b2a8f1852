"""Rotary positions: turns the heads of a pass and writes its keys and values into the cache."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .launch import pdl


@triton.jit
def turned(x, turns):
    """`x` [..., dim] with each neighbouring pair multiplied, as a complex number, by its pair of
    `turns`; in float32, to be rounded once."""
    pairs: tl.constexpr = [x.shape[0], x.shape[1] // 2, 2]
    a, b = tl.split(tl.reshape(x.to(tl.float32), pairs))
    c, d = tl.split(tl.reshape(turns, pairs))
    return tl.reshape(tl.join(a * c - b * d, a * d + b * c), x.shape)


@triton.jit(do_not_specialize=["slots"])
def _rotate_and_write(
    heads,
    turns,
    start,
    cache,
    row_stride,
    slots,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    PADDED: tl.constexpr,
    PDL: tl.constexpr,
):
    """One head of one row."""
    row, head = tl.program_id(0), tl.program_id(1)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    slot = tl.load(start) + row
    column = tl.arange(0, PADDED)[None, :]
    inside = column < DIM
    source = heads + row * row_stride + head * DIM + column
    x = tl.load(source, mask=inside, other=0.0)
    if head < QUERIES + KEYS:
        factors = tl.load(turns + slot * DIM + column, mask=inside, other=0.0)
        x = turned(x, factors).to(heads.dtype.element_ty)
    if head < QUERIES:
        tl.store(source, x, mask=inside)
    else:
        line = (head - QUERIES).to(tl.int64) * slots + slot
        tl.store(cache + line * DIM + column, x, mask=inside & (slot < slots))


def rotate_and_write(heads: Tensor, turns: Tensor, start: Tensor, cache: Tensor) -> None:
    """Turns the queries in `heads` [n, query + 2 key heads, dim] in place, and writes its turned
    keys and its values to the slots of `cache` [2, key heads, slots, dim] from `start` (int32 [1])
    on. `turns` [context, dim / 2, 2] are the factors of each position's pairs, float32.

    For a pass whose attention is not computed by `attention`, which does all this itself.
    """
    n, count, dim = heads.shape
    if heads.stride()[1:] != (dim, 1):
        raise ValueError("The heads of a row must lie one after another.")
    check(count, dim, heads.dtype, turns, start, cache)
    queries, keys = count - 2 * cache.shape[1], cache.shape[1]
    dependent = pdl(heads.device)
    _rotate_and_write[(n, count)](
        heads,
        turns,
        start,
        cache,
        heads.stride(0),
        cache.shape[2],
        QUERIES=queries,
        KEYS=keys,
        DIM=dim,
        PADDED=triton.next_power_of_2(dim),
        PDL=dependent,
        num_warps=1,
        enable_fp_fusion=False,  # products are rounded before they are added, as torch does it
        launch_pdl=dependent,
    )


def check(
    count: int, dim: int, dtype: torch.dtype, turns: Tensor, start: Tensor, cache: Tensor
) -> None:
    """Raises ValueError where the shapes or layouts of a pass with so many heads a row do not
    belong together."""
    queries, keys = count - 2 * cache.shape[1], cache.shape[1]
    if cache.shape[::3] != (2, dim) or not cache.is_contiguous() or cache.dtype != dtype:
        raise ValueError("The cache must be contiguous [2, key heads, slots, dim] of one dtype.")
    if queries < keys or queries % keys:
        raise ValueError(f"{queries} query heads cannot share {keys} key heads.")
    if turns.shape[1:] != (dim // 2, 2) or dim % 2 or not turns.is_contiguous():
        raise ValueError("The turns must be contiguous [context, dim / 2, 2].")
    if turns.dtype != torch.float32 or start.dtype != torch.int32 or start.shape != (1,):
        raise ValueError("The turns are float32, and the start is one int32 on the device.")
