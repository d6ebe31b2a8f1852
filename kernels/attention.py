"""Attention of a few new rows to a cache that they extend, in two launches.

The cache is read in splits of a fixed length, each by programs of its own, so that a long text
fills the device at batch 1; a second kernel combines what the splits found. That is one dependent
launch more than if the last program to arrive combined, but no fence, no atomic and no counter,
and each row's partial sums are read by a processor of its own: at 4096 positions, 128 dimensions
and a group of six 32 KB instead of 196 KB by one.

A row's bits do not depend on the rows beside it: tiles have one shape, splits lie where they lie
whatever `n` and `reach`, and a position that a row may not see adds an exact zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .launch import ROWS, Sums, operand, pdl
from .rope import check, turned


class Split(NamedTuple):
    """How the cache is shared out; one choice for a model, since bits depend on it."""

    slots: int  # read by one program, all of them in flight at once
    warps: int


SPLIT = Split(slots=32, warps=4)
COMBINED: tl.constexpr = tl.constexpr(32)  # splits in flight when a row combines them


@triton.jit(do_not_specialize=["slots", "n", "reach"])
def _attend(
    heads,
    squares,
    bias,
    turns,
    start,
    cache,
    sums,
    stats,
    row_stride,
    inner,
    eps,
    slots,
    n,
    reach,
    scale,
    SUMS: tl.constexpr,
    KEYS: tl.constexpr,
    GROUP: tl.constexpr,
    DIM: tl.constexpr,
    PADDED: tl.constexpr,
    TILE: tl.constexpr,
    SPLIT: tl.constexpr,
    OPERAND: tl.constexpr,
    PDL: tl.constexpr,
):
    """One split of one key head for a tile of rows, each a query head of a token."""
    split, key, tile = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if PDL:
        gdc_launch_dependents()  # so that later kernels can fetch weights while this one waits
    old = tl.load(start)
    end = tl.minimum(old + n, reach)
    if split * SPLIT >= end:
        return
    column = tl.arange(0, PADDED)[None, :]
    inside = column < DIM
    slot = split * SPLIT + tl.arange(0, SPLIT)[:, None]
    line = key.to(tl.int64) * slots + slot
    held_keys = cache + line * DIM + column
    held_values = held_keys + slots.to(tl.int64) * (KEYS * DIM)
    row = tile * TILE + tl.arange(0, TILE)[:, None]
    token, head = row // GROUP, key * GROUP + row % GROUP
    real = (token < n) & inside
    # What earlier passes wrote is there, whatever of this pass still runs.
    k = tl.load(held_keys, mask=(slot < old) & inside, other=0.0)
    v = tl.load(held_values, mask=(slot < old) & inside, other=0.0)
    if PDL:
        gdc_wait()
    query_at = head * DIM + column
    q = _read(
        heads, squares, bias, token, query_at, real, row_stride, inner, eps, SUMS, TILE, k.dtype
    )
    if split * SPLIT + SPLIT > old:
        fresh = (slot >= old) & (slot < end) & inside
        new = slot - old
        key_at = (KEYS * GROUP + key) * DIM + column
        new_keys = _read(
            heads, squares, bias, new, key_at, fresh, row_stride, inner, eps, SUMS, TILE, k.dtype
        )
        new_turns = tl.load(turns + slot * DIM + column, mask=fresh, other=0.0)
        k = tl.where(fresh, turned(new_keys, new_turns).to(k.dtype), k)
        value_at = key_at + KEYS * DIM
        new_values = _read(
            heads, squares, bias, new, value_at, fresh, row_stride, inner, eps, SUMS, TILE, k.dtype
        )
        v = tl.where(fresh, new_values, v)
        tl.store(held_keys, k, mask=fresh & (tile == 0))
        tl.store(held_values, v, mask=fresh & (tile == 0))
    factors = tl.load(turns + (old + token) * DIM + column, mask=real, other=0.0)
    q = turned(q, factors).to(k.dtype).to(OPERAND)

    scores = tl.dot(q, tl.trans(k.to(OPERAND)), input_precision="ieee") * scale
    scores = tl.where(tl.reshape(slot, [1, SPLIT]) <= old + token, scores, -float("inf"))
    peak = tl.max(scores, axis=1, keep_dims=True)
    weights = tl.exp2(scores - tl.where(peak == -float("inf"), 0.0, peak))
    mixed = tl.dot(weights.to(OPERAND), v.to(OPERAND), input_precision="ieee")

    at = (split * n + token) * (KEYS * GROUP) + head
    tl.store(sums + at.to(tl.int64) * DIM + column, mixed, mask=real)
    tl.store(stats + 2 * at, peak, mask=token < n)
    tl.store(stats + 2 * at + 1, tl.sum(weights, axis=1, keep_dims=True), mask=token < n)


@triton.jit
def _read(
    heads,
    squares,
    bias,
    token,
    at,
    mask,
    stride,
    inner,
    eps,
    SUMS: tl.constexpr,
    ROWS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Elements `at` of the rows of tokens; where they are still partial sums, their total."""
    if SUMS == 0:
        return tl.load(heads + token * stride + at, mask=mask, other=0.0)
    total = tl.zeros(mask.shape, tl.float32)
    square = tl.zeros(token.shape, tl.float32)
    row = tl.minimum(tl.maximum(token, 0), ROWS - 1)  # what is no row of the block is masked
    for split in tl.static_range(SUMS):
        total += tl.load(heads + (split * ROWS + row) * stride + at, mask=mask, other=0.0)
        square += tl.load(squares + split * ROWS + row)
    total *= tl.rsqrt(square / inner + eps)
    if bias is not None:
        total += tl.load(bias + at, mask=mask, other=0.0).to(tl.float32)
    return total.to(DTYPE)


@triton.jit(do_not_specialize=["n", "reach"])
def _combine(
    start,
    sums,
    stats,
    out,
    n,
    reach,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    PADDED: tl.constexpr,
    SPLIT: tl.constexpr,
    PDL: tl.constexpr,
):
    """One head of one token: its splits in order, a fixed number at a time."""
    row = tl.program_id(0)
    seen = tl.minimum(tl.load(start) + row // HEADS + 1, reach)
    column = tl.arange(0, PADDED)[None, :]
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    peak = -float("inf")
    total = 0.0
    mixed = tl.zeros([PADDED], tl.float32)
    first = 0
    while first * SPLIT < seen:
        split = first + tl.arange(0, COMBINED)
        full = split * SPLIT < seen
        at = split * (n * HEADS) + row
        peaks = tl.load(stats + 2 * at, mask=full, other=-float("inf"))
        totals = tl.load(stats + 2 * at + 1, mask=full, other=0.0)
        parts = sums + at.to(tl.int64)[:, None] * DIM + column
        parts = tl.load(parts, mask=full[:, None] & (column < DIM), other=0.0)
        higher = tl.maximum(peak, tl.max(peaks))
        weights = tl.exp2(peaks - higher)
        kept = tl.exp2(peak - higher)
        total = total * kept + tl.sum(totals * weights)
        mixed = mixed * kept + tl.sum(parts * weights[:, None], axis=0)
        peak = higher
        first += COMBINED
    column = tl.arange(0, PADDED)
    tl.store(out + row * DIM + column, mixed / total, mask=column < DIM)


def attention(
    heads: Tensor | Sums,
    turns: Tensor,
    cache: Tensor,
    start: Tensor,
    *,
    reach: int,
    workspace: Tensor,
    out: Tensor | None = None,
    split: Split = SPLIT,
) -> Tensor:
    """What the queries of n new rows find in the cache, [n, query heads * dim]; the rows' own keys
    and values are written to the slots from `start` (int32 [1]) on, and row i sees the slots up to
    `start` + i.

    `heads` [n, query + 2 key heads, dim], or the sums of the product that yields them, are not
    turned yet and stay as they are; `turns`
    [context, dim / 2, 2] float32 and `cache` [2, key heads, slots, dim] as in `rotate_and_write`.
    `reach` bounds `start` + n and decides the launch, as a CUDA graph needs it; rows beyond it are
    neither written nor seen. `workspace` holds `workspace_size` floats.

    With dependent launches, `start` and the older slots are read while kernels before this one
    still run: they must have been written before the first dependent launch of the pass.
    """
    keys, slots, dim = cache.shape[1:]
    parts = _parts(heads, dim)
    n, count, dtype = parts.rows, parts.columns // dim, parts.dtype
    check(count, dim, dtype, turns, start, cache)
    queries = count - 2 * keys
    if out is None:
        out = torch.empty(n, queries * dim, dtype=dtype, device=cache.device)
    if out.shape != (n, queries * dim) or not out.is_contiguous():
        raise ValueError("The output must be contiguous [n, query heads * dim].")
    if not n <= reach <= slots:
        raise ValueError(f"A reach of {reach} does not lie between {n} rows and {slots} slots.")
    size = workspace_size(n, queries, dim, reach, split)
    if workspace.dtype != torch.float32 or workspace.numel() < size:
        raise ValueError(f"The workspace must hold {size} floats for this pass.")
    splits, rows = triton.cdiv(reach, split.slots), n * queries
    sums, stats = workspace[: splits * rows * dim], workspace[splits * rows * dim :]
    padded, dependent = max(16, triton.next_power_of_2(dim)), pdl(cache.device)
    _attend[(splits, keys, triton.cdiv(n * queries // keys, ROWS))](
        parts.partials,
        parts.partials[parts.splits * ROWS * parts.columns :] if parts.splits else None,
        parts.bias,
        turns,
        start,
        cache,
        sums,
        stats,
        parts.partials.stride(0) if parts.splits == 0 else parts.columns,
        parts.inner,
        parts.eps,
        slots,
        n,
        reach,
        math.log2(math.e) / math.sqrt(dim),
        SUMS=parts.splits,
        KEYS=keys,
        GROUP=queries // keys,
        DIM=dim,
        PADDED=padded,
        TILE=ROWS,
        SPLIT=split.slots,
        OPERAND=operand(dtype),
        PDL=dependent,
        num_warps=split.warps,
        enable_fp_fusion=False,  # keys are turned to the very bits of `rotate_and_write`
        launch_pdl=dependent,
    )
    _combine[(rows,)](
        start,
        sums,
        stats,
        out,
        n,
        reach,
        HEADS=queries,
        DIM=dim,
        PADDED=padded,
        SPLIT=split.slots,
        PDL=dependent,
        num_warps=4,
        launch_pdl=dependent,
    )
    return out


def _parts(heads: Tensor | Sums, dim: int) -> Sums:
    """Whole heads as sums of no parts."""
    if isinstance(heads, Sums):
        return heads
    if heads.dim() != 3 or heads.stride()[1:] != (dim, 1) or heads.shape[2] != dim:
        raise ValueError("The heads of a row must lie one after another.")
    return Sums(heads, 0, len(heads), heads.shape[1] * dim, 1, 0.0, None, heads.dtype)


def workspace_size(n: int, queries: int, dim: int, reach: int, split: Split = SPLIT) -> int:
    """Floats for the partial sums of n rows of `queries` heads; enough for any smaller pass too."""
    splits: int = triton.cdiv(reach, split.slots)
    return splits * n * queries * (dim + 2)
