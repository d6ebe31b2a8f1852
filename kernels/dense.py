"""The product kernel of weights in floating point: see linear.py for what all products share.

Each step of decoding waits for the one before, and the memory stands still meanwhile. So a program
may load its first weights, which no kernel writes, before it waits; they come last into the sum,
after a loop over the rest.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .launch import (
    PROCESSORS,
    ROWS,
    Config,
    Workspace,
    bound,
    collect,
    leave,
    operand,
    pdl,
    prefetch,
    put,
    splits,
)


def configured(columns: int, inner: int, gated: bool, dtype: torch.dtype) -> Config:
    """About one program for each processor, if need be by sharing the inner dimension. Long rows
    are streamed; short ones are held whole. As measured on an H200: see docs/gpu.md."""
    if dtype == torch.float32:  # no tensor cores; larger tiles would not fit the registers
        return Config(block_n=32, block_k=32, split_k=1, warps=4, stages=3)
    tiles, blocks = triton.cdiv(columns, 64), triton.cdiv(inner, 128)
    if gated:
        return Config(64, 128, 1, warps=4, stages=3, prefetch=256, early=False)
    if tiles > 2 * PROCESSORS:
        return Config(128, 128, 1, warps=4, stages=3)
    if blocks <= 16:
        return Config(64, 128, max(1, blocks // 4), warps=4, stages=3, held=4)
    return Config(64, 128, max(1, PROCESSORS // tiles), warps=4, stages=4, early=False)


def launch(
    x: Tensor,
    weight: Tensor,
    norm: Tensor | None,
    eps: float,
    bias: Tensor | None,
    residual: Tensor | None,
    gated: bool,
    out: Tensor | None,
    workspace: Workspace | None,
    config: Config | None,
) -> int:
    """Shapes are those of `linear.linear`, checked there. Without `out` the partial sums stay in
    the workspace. Returns how many programs shared a tile."""
    columns, inner = weight.shape[0] // (2 if gated else 1), weight.shape[1]
    config = config or configured(columns, inner, gated, x.dtype)
    blocks = triton.cdiv(inner, config.block_k)
    split = splits(blocks, 1 if gated else config.split_k)
    held = max(i for i in (0, 1, 2, 4) if i <= min(config.held, blocks // split))
    tiles = triton.cdiv(columns, config.block_n)
    scratch = None
    if split > 1 or out is None:
        scratch = Workspace.shared(workspace, x.device, tiles, split, columns)
    even, dependent = inner % config.block_k == 0, pdl(x.device)
    streamed = (blocks // split - held) * config.block_k
    ahead = min(config.prefetch, streamed) if even and weight.data_ptr() % 16 == 0 else 0
    _dense[(tiles, split)](
        x,
        weight,
        norm,
        bias,
        residual,
        out,
        scratch.partials if scratch else None,
        scratch.counters if scratch else None,
        len(x),
        columns,
        inner,
        x.stride(0),
        residual.stride(0) if residual is not None else 0,
        out.stride(0) if out is not None else 0,
        eps,
        bound(blocks // split - held),
        OPERAND=operand(x.dtype),
        GATED=gated,
        EVEN=even,
        BLOCK_N=config.block_n,
        BLOCK_K=config.block_k,
        SPLIT_K=split,
        HELD=held * config.block_k,
        PREFETCH=ahead,
        EARLY=config.early,
        PDL=dependent,
        ROWS=ROWS,
        num_warps=config.warps,
        num_stages=config.stages,
        launch_pdl=dependent,
    )
    return split


@triton.jit(do_not_specialize=["n", "steps"])  # the same binary for any number of rows
def _dense(
    x,
    weight,
    norm,
    bias,
    residual,
    out,
    partials,
    counters,
    n,
    N,
    K,
    stride_x,
    stride_residual,
    stride_out,
    eps,
    steps,  # of each program after the weights that it holds
    OPERAND: tl.constexpr,
    GATED: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLIT_K: tl.constexpr,
    HELD: tl.constexpr,  # inner positions
    PREFETCH: tl.constexpr,
    EARLY: tl.constexpr,
    PDL: tl.constexpr,
    ROWS: tl.constexpr,
):
    """N counts output columns; the up rows of a gated weight are N rows further on."""
    tile = tl.program_id(0)
    split = tl.program_id(1)
    first = split * (steps * BLOCK_K + HELD)
    row = tl.arange(0, ROWS)
    col = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    stored = tl.minimum(col, N - 1)  # columns beyond the last repeat it and are not written
    if PDL and EARLY:
        gdc_launch_dependents()
    if HELD:
        before = first + tl.arange(0, HELD)
        held = _weights(weight, stored, before, K, EVEN)
        if GATED:
            held_up = _weights(weight, stored + N, before, K, EVEN)
    if PDL:
        if PREFETCH:
            prefetch(weight, stored, K, first + HELD, PREFETCH)
            if GATED:
                prefetch(weight, stored + N, K, first + HELD, PREFETCH)
        gdc_wait()
    total = tl.zeros((BLOCK_N, ROWS), tl.float32)
    up = tl.zeros((BLOCK_N, ROWS), tl.float32)
    squares = tl.zeros((BLOCK_K, ROWS), tl.float32)
    for i in range(steps):
        k = first + HELD + i * BLOCK_K + tl.arange(0, BLOCK_K)
        rows, square = _rows(x, norm, row, k, n, K, stride_x, OPERAND, EVEN)
        if norm is not None:
            squares += square
        total = _add(_weights(weight, stored, k, K, EVEN), rows, total)
        if GATED:
            up = _add(_weights(weight, stored + N, k, K, EVEN), rows, up)
    if PDL and not EARLY:
        gdc_launch_dependents()
    square = tl.sum(squares, axis=0)
    if HELD:
        rows, last = _rows(x, norm, row, before, n, K, stride_x, OPERAND, EVEN)
        square += tl.sum(last, axis=0)
        total = _add(held, rows, total)
        if GATED:
            up = _add(held_up, rows, up)
    if out is None:
        put(partials, total, square, tile, split, row, col, N, ROWS, SPLIT_K)
    else:
        arrived = SPLIT_K - 1
        if SPLIT_K > 1:
            arrived = leave(
                partials, counters, total, square, tile, split, row, col, N, ROWS, SPLIT_K
            )
        if arrived == SPLIT_K - 1:
            if SPLIT_K > 1:
                total, square = collect(partials, total, square, tile, row, col, N, ROWS, SPLIT_K)
                tl.store(counters + tile, 0)
            total = normed(total, square, norm, K, eps)
            if GATED:
                total *= tl.sigmoid(total) * normed(up, square, norm, K, eps)
            write(total, bias, residual, out, row, col, stored, n, N, stride_residual, stride_out)


@triton.jit
def normed(total, square, norm, K, eps):
    return total if norm is None else total * tl.rsqrt(square / K + eps)[None, :]


@triton.jit
def write(total, bias, residual, out, row, col, stored, n, N, stride_residual, stride_out):
    inside = (row < n)[None, :] & (col < N)[:, None]
    if bias is not None:
        total += tl.load(bias + stored).to(tl.float32)[:, None]
    if residual is not None:
        places = residual + (row * stride_residual)[None, :] + col[:, None]
        total += tl.load(places, mask=inside, other=0.0).to(tl.float32)
    places = out + (row * stride_out)[None, :] + col[:, None]
    tl.store(places, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rows(x, norm, row, k, n, K, stride, OPERAND: tl.constexpr, EVEN: tl.constexpr):
    """Positions k of the rows, [positions, ROWS], times the norm's weight; and their squares."""
    inside = (row < n)[None, :]
    if not EVEN:
        inside &= (k < K)[:, None]
    rows = tl.load(x + (row * stride)[None, :] + k[:, None], mask=inside, other=0.0)
    squares = tl.zeros(rows.shape, tl.float32)
    if norm is not None:
        wide = rows.to(tl.float32)
        squares = wide * wide
        weights = tl.load(norm + k) if EVEN else tl.load(norm + k, mask=k < K, other=0.0)
        rows = (wide * weights.to(tl.float32)[:, None]).to(rows.dtype)
    return rows.to(OPERAND), squares


@triton.jit
def _weights(weight, col, k, K, EVEN: tl.constexpr):
    places = weight + (col.to(tl.int64) * K)[:, None] + k[None, :]
    return tl.load(places) if EVEN else tl.load(places, mask=(k < K)[None, :], other=0.0)


@triton.jit
def _add(tile, rows, total):
    """total [BLOCK_N, ROWS] and the product of a tile of weights with the rows."""
    return tl.dot(tile.to(rows.dtype), rows, total, input_precision="ieee")
