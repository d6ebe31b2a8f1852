"""Products of a few rows with weights in eight or four bits.

Widening the weights is most of the work, so a program has no other: rows come normed, and its
warps share the inner dimension rather than the columns, each with a product of its own, so that no
weight is widened twice and every warp has as much to do whatever the tile. Their sums are added at
the end. int8 of rows in bfloat16 is exact, as is int4: what is rounded is only the float32 sums.

The tensor cores' instruction takes 8 rows at a time. So up to 8 rows can do with half a tile, and
have the same bits as in a whole one.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dense import write
from .launch import (
    PROCESSORS,
    ROWS,
    Config,
    Workspace,
    bound,
    collect,
    interpreted,
    leave,
    operand,
    pdl,
    prefetch,
    splits,
)
from .quantised import Int4, Int8


def _unpacking(kind: str, large: str, one: str, less: str) -> str:
    """Four bytes to eight weights of `kind`, no integer converted: as its last bits, half a byte v
    makes a power of two, `large`, to that plus v, from which `less` makes v - 8."""
    return f"""
        {{
        .reg .b32 a, b, one, less;
        mov.b32 one, {one}; mov.b32 less, {less};
        prmt.b32 a, $4, 0, 0x4140; prmt.b32 b, $4, 0, 0x4342;
        lop3.b32 $0, a, 0x000F000F, {large}, 0xEA;
        lop3.b32 $1, b, 0x000F000F, {large}, 0xEA;
        shr.b32 a, a, 4; shr.b32 b, b, 4;
        lop3.b32 $2, a, 0x000F000F, {large}, 0xEA;
        lop3.b32 $3, b, 0x000F000F, {large}, 0xEA;
        fma.rn.{kind} $0, $0, one, less; fma.rn.{kind} $1, $1, one, less;
        fma.rn.{kind} $2, $2, one, less; fma.rn.{kind} $3, $3, one, less;
        }}
        """


UNPACKING = {
    torch.bfloat16: _unpacking("bf16x2", "0x43004300", "0x3F803F80", "0xC308C308"),  # 128, 1, -136
    torch.float16: _unpacking("f16x2", "0x64006400", "0x3C003C00", "0xE408E408"),  # 1024, 1, -1032
}


def launch(
    x: Tensor,
    weight: Int8 | Int4,
    bias: Tensor | None,
    residual: Tensor | None,
    gated: bool,
    out: Tensor,
    workspace: Workspace | None,
    config: Config | None,
) -> Tensor:
    """As `kernels.linear`, whose shapes are checked; writes `out`. Of a step's `block_k` stored
    values of a row, each warp has its share, though no more than share a scale."""
    columns, width = out.shape[1], weight.values.shape[1]
    group = weight.group if isinstance(weight, Int4) else 0
    config = config or _config(columns, width, gated, x.dtype, group)
    part = max(16, config.block_k // config.warps)
    part = min(part, group) if group else part
    blocks = triton.cdiv(width, part * config.warps)
    split = splits(blocks, 1 if gated else config.split_k)
    tiles = triton.cdiv(columns, config.block_n)
    scratch = None
    if split > 1:
        scratch = Workspace.shared(workspace, x.device, tiles, split, columns)
    even, aligned = width % (part * config.warps) == 0, weight.values.data_ptr() % 16 == 0
    dependent = pdl(x.device)
    _narrow[(tiles, split)](
        x,
        weight.values,
        weight.scales,
        bias,
        residual,
        out,
        scratch.partials if scratch else None,
        scratch.counters if scratch else None,
        len(x),
        columns,
        width,
        x.stride(0),
        residual.stride(0) if residual is not None else 0,
        out.stride(0),
        bound(blocks // split),
        OPERAND=operand(x.dtype),
        ASM=UNPACKING.get(x.dtype) if group and not interpreted() else None,
        GROUP=group,
        GATED=gated,
        EVEN=even,
        BLOCK_N=config.block_n,
        PART=part,
        PARTS=config.warps,
        SPLIT_K=split,
        PREFETCH=min(config.prefetch, width // split) if even and aligned else 0,
        EARLY=config.early,
        PDL=dependent,
        ROWS=_rows_of_a_tile(len(x), x.dtype),
        num_warps=config.warps,
        num_stages=config.stages,
        launch_pdl=dependent,
    )
    return out


def _rows_of_a_tile(n: int, dtype: torch.dtype) -> int:
    """Half of ROWS only for tensor cores: numpy adds in an order that depends on the shape."""
    return ROWS // 2 if n <= ROWS // 2 and dtype != torch.float32 and not interpreted() else ROWS


def _config(columns: int, width: int, gated: bool, dtype: torch.dtype, group: int) -> Config:
    """Several programs for each processor, if need be by sharing the inner dimension. As measured
    on an H100: see docs/gpu.md."""
    if dtype == torch.float32:  # no tensor cores; larger tiles would not fit the registers
        return Config(block_n=16, block_k=64, split_k=1, warps=2, stages=2)
    if gated:
        return Config(16, 128, 1, warps=2, stages=4, prefetch=256)
    block_n, most = (32, 2 * PROCESSORS) if group else (16, 4 * PROCESSORS)
    split = max(1, min(most // triton.cdiv(columns, block_n), width // 512))
    return Config(block_n, 128, split, warps=2, stages=4 if group else 6, prefetch=256)


@triton.jit(do_not_specialize=["n", "steps"])  # few binaries for any number of rows
def _narrow(
    x,
    weight,
    scales,
    bias,
    residual,
    out,
    partials,
    counters,
    n,
    N,
    width,  # stored values of a weight's row
    stride_x,
    stride_residual,
    stride_out,
    steps,  # of each program
    OPERAND: tl.constexpr,
    ASM: tl.constexpr,  # that unpacks int4, where there is any
    GROUP: tl.constexpr,  # of int4 weights, else 0
    GATED: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PART: tl.constexpr,  # of a step: stored values of a row
    PARTS: tl.constexpr,
    SPLIT_K: tl.constexpr,
    PREFETCH: tl.constexpr,
    EARLY: tl.constexpr,
    PDL: tl.constexpr,
    ROWS: tl.constexpr,
):
    """N counts output columns; the up rows of a gated weight are N rows further on, and make the
    second half of a tile."""
    tile = tl.program_id(0)
    split = tl.program_id(1)
    row = tl.arange(0, ROWS)
    col = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = tl.minimum(col, N - 1)  # columns beyond the last repeat it and are not written
    stored = inside
    if GATED:
        both = tl.arange(0, 2 * BLOCK_N)
        stored = tl.minimum(tile * BLOCK_N + both % BLOCK_N, N - 1) + both // BLOCK_N * N
    TILE: tl.constexpr = 2 * BLOCK_N if GATED else BLOCK_N
    first = split * steps * (PARTS * PART)
    part = first + tl.arange(0, PARTS) * PART
    if PDL:
        if EARLY:
            gdc_launch_dependents()
        if PREFETCH:
            prefetch(weight, stored, width, first, PREFETCH)
    if GROUP:
        low_scale, high_scale = _scales(scales, stored, part, width, GROUP)
    if PDL:
        gdc_wait()
    total = tl.zeros((PARTS, TILE, ROWS), tl.float32)
    for i in range(steps):
        k = (part + i * (PARTS * PART))[:, None] + tl.arange(0, PART)[None, :]
        values = _weights(weight, stored, k, width, EVEN)
        low = _rows(x, row, k, n, width, stride_x, OPERAND, EVEN)
        if GROUP:
            high = _rows(x + width, row, k, n, width, stride_x, OPERAND, EVEN)
            first_half, second_half = _unpacked(values, OPERAND, ASM)
            next_part = part + tl.minimum(i + 1, steps - 1) * (PARTS * PART)
            next_low, next_high = _scales(scales, stored, next_part, width, GROUP)
            total += tl.dot(first_half, low, input_precision="ieee") * low_scale[:, :, None]
            total += tl.dot(second_half, high, input_precision="ieee") * high_scale[:, :, None]
            low_scale, high_scale = next_low, next_high
        else:
            total = tl.dot(values.to(low.dtype), low, total, input_precision="ieee")
    if PDL and not EARLY:
        gdc_launch_dependents()
    total = tl.sum(total, axis=0)
    arrived = SPLIT_K - 1
    if SPLIT_K > 1:
        none = tl.zeros((ROWS,), tl.float32)  # no squares: the rows came normed
        arrived = leave(partials, counters, total, none, tile, split, row, col, N, ROWS, SPLIT_K)
    if arrived == SPLIT_K - 1:
        if SPLIT_K > 1:
            total, _ = collect(partials, total, none, tile, row, col, N, ROWS, SPLIT_K)
            tl.store(counters + tile, 0)
        if not GROUP:
            total *= tl.load(scales + stored)[:, None]
        result = _gated(total) if GATED else total
        write(result, bias, residual, out, row, col, inside, n, N, stride_residual, stride_out)


@triton.jit
def _gated(total):
    """silu(gate) * up of sums that are one above the other."""
    halves = total.reshape(2, total.shape[0] // 2, total.shape[1])
    gate, up = tl.split(halves.permute(1, 2, 0))
    return gate * tl.sigmoid(gate) * up


@triton.jit
def _weights(weight, col, k, width, EVEN: tl.constexpr):
    """Stored values [PARTS, TILE, PART] at positions k [PARTS, PART] of these columns."""
    places = weight + (col.to(tl.int64) * width)[None, :, None] + k[:, None, :]
    return tl.load(places) if EVEN else tl.load(places, mask=(k < width)[:, None, :], other=0)


@triton.jit
def _rows(x, row, k, n, width, stride, OPERAND: tl.constexpr, EVEN: tl.constexpr):
    """Positions k [PARTS, PART] of the rows, [PARTS, PART, ROWS]."""
    inside = (row < n)[None, None, :]
    if not EVEN:
        inside &= (k < width)[:, :, None]
    places = x + (row * stride)[None, None, :] + k[:, :, None]
    return tl.load(places, mask=inside, other=0.0).to(OPERAND)


@triton.jit
def _scales(scales, col, part, width, GROUP: tl.constexpr):
    """Of the parts [PARTS] of either half of these columns' rows, two of [PARTS, TILE]. They are
    fetched a step ahead, for only what the tensor cores take is fetched ahead by itself."""
    half = width // GROUP
    group = tl.minimum(part // GROUP, half - 1)
    places = scales + (col * (2 * half))[None, :] + group[:, None]
    return tl.load(places), tl.load(places + half)


@triton.jit
def _unpacked(tile, dtype: tl.constexpr, ASM: tl.constexpr):
    """Both weights of each byte, in two tiles."""
    if ASM is None:
        first = ((tile & 15).to(tl.int8) - 8).to(dtype)
        second = ((tile >> 4).to(tl.int8) - 8).to(dtype)
    else:
        first, second = tl.inline_asm_elementwise(
            ASM,
            "=&r,=&r,=&r,=&r,r",
            [tile],
            dtype=(tl.bfloat16, tl.bfloat16) if dtype == tl.bfloat16 else (tl.float16, tl.float16),
            is_pure=True,
            pack=4,
        )
    return first, second
