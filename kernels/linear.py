"""Products of a few rows with a weight matrix, as decoding needs them: bound by memory.

A program makes a tile of output columns. It streams the weights of its columns once, whatever the
number of rows, which are padded to what a tensor core takes. The number of rows changes neither
the tiles nor the order of any sum, so a row comes out bit for bit the same alone and in a block.

The weights are the left operand of each product, [BLOCK_N, BLOCK_K] @ [BLOCK_K, ROWS]: from 64
columns and 4 warps on, Hopper's tensor cores then read them from shared memory by themselves.

RMSNorm takes no pass of its own: rows enter the product times the norm's weight, their squares are
summed alongside, and the sums are divided by the root mean square at the end. A row is rounded
once, as in torch, though before the division.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from . import dense, narrow
from .launch import (
    COUNTERS,
    PARTIALS,
    ROWS,
    Config,
    Sums,
    Workspace,
    bound,
    collect,
    leave,
    operand,
    pdl,
    prefetch,
)
from .norm import add_rms_norm
from .quantised import Int4, Int8

Weight = Tensor | Int8 | Int4

PROCESSORS = 132  # of an H100 or H200


def linear(
    x: Tensor,
    weight: Weight,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    *,
    out: Tensor | None = None,
    workspace: Workspace | None = None,
    config: Config | None = None,
) -> Tensor:
    """x [n, K] @ weight [N, K] transposed (+ bias [N]) (+ residual [n, N]), summed in float32.

    n is 1 to 16. The result has the type of `out`, which may be the residual itself, or of x.
    A product split over programs takes its scratch from `workspace`. ValueError for other shapes.
    """
    return _launch(
        x, weight, bias=bias, residual=residual, out=out, workspace=workspace, config=config
    )


def norm_linear(
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Weight,
    bias: Tensor | None = None,
    *,
    out: Tensor | None = None,
    workspace: Workspace | None = None,
    config: Config | None = None,
) -> Tensor:
    """`linear` of RMSNorm(x) * norm [K]. A norm in float32 is fetched ahead; in 16 bits not."""
    return _launch(x, weight, norm, eps, bias=bias, out=out, workspace=workspace, config=config)


def norm_sums(
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    workspace: Workspace,
    config: Config | None = None,
) -> Sums:
    """`norm_linear` for `attention`, which adds up what its programs leave in `workspace` until the
    next product takes that: a kernel less to wait for. Not for float16, whose range has no room."""
    columns, inner = weight.shape
    _check(x, weight, inner, columns, norm, bias, None, None)
    split = dense.launch(x, weight, norm, eps, None, None, False, None, workspace, config)
    return Sums(workspace.partials, split, len(x), columns, inner, eps, bias, x.dtype)


def norm_gate_up(
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Weight,
    *,
    out: Tensor | None = None,
    config: Config | None = None,
) -> Tensor:
    """silu(gate) * up [n, N / 2] of RMSNorm(x) * norm; the weight has the gate's rows first."""
    return _launch(x, weight, norm, eps, gated=True, out=out, config=config)


def _launch(
    x: Tensor,
    weight: Weight,
    norm: Tensor | None = None,
    eps: float = 0.0,
    *,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
    out: Tensor | None = None,
    workspace: Workspace | None = None,
    config: Config | None = None,
) -> Tensor:
    values, scales, group = _parts(weight)
    columns, inner = weight.shape[0] // (2 if gated else 1), weight.shape[1]
    if out is None:
        out = x.new_empty(len(x), columns)
    _check(x, values, inner, columns, norm, bias, residual, out)
    if not isinstance(weight, Tensor):
        rows = x if norm is None else add_rms_norm(x, None, norm, eps)
        return narrow.launch(rows, weight, bias, residual, gated, out, workspace, config)
    if norm is not None and x.dtype == torch.float16:  # no room for rows before they are divided
        x, norm = F.rms_norm(x, norm.shape, norm.to(x.dtype), eps), None
    if isinstance(weight, Tensor):
        dense.launch(x, weight, norm, eps, bias, residual, gated, out, workspace, config)
        return out
    width = values.shape[1]
    config = config or _config(columns, inner, gated, x.dtype, group)
    block_k = min(config.block_k, group or config.block_k)
    blocks = triton.cdiv(width, block_k)
    most = 1 if gated else config.split_k
    split = max(i for i in range(1, most + 1) if blocks % i == 0)
    tiles = triton.cdiv(columns, config.block_n)
    scratch = None
    if split > 1:
        _check_scratch(tiles, split, columns)
        scratch = workspace or Workspace.on(x.device)
    even, dependent = width % block_k == 0, pdl(x.device)
    ahead = min(config.prefetch, width // split)
    _linear[(tiles, split)](
        x,
        values,
        scales,
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
        out.stride(0),
        eps,
        bound(blocks // split),
        OPERAND=operand(x.dtype),
        GROUP=group,
        GATED=gated,
        EVEN=even,
        BLOCK_N=config.block_n,
        BLOCK_K=block_k,
        SPLIT_K=split,
        PREFETCH=ahead if even and values.data_ptr() % 16 == 0 else 0,
        EARLY=config.early,
        PDL=dependent,
        ROWS=ROWS,
        num_warps=config.warps,
        num_stages=config.stages,
        **({"launch_pdl": True} if dependent else {}),
    )
    return out


def _parts(weight: Weight) -> tuple[Tensor, Tensor | None, int]:
    """What is stored: values, scales, and how many weights of a row share one; 0 is all."""
    if isinstance(weight, Tensor):
        return weight, None, 0
    return weight.values, weight.scales, weight.group if isinstance(weight, Int4) else 0


def _config(columns: int, inner: int, gated: bool, dtype: torch.dtype, group: int) -> Config:
    """About one program for each processor, if need be by sharing the inner dimension."""
    if dtype == torch.float32:  # no tensor cores; larger tiles would not fit the registers
        return Config(block_n=32, block_k=32, split_k=1, warps=4, stages=3)
    if gated:
        return Config(64, 64 if group else 128, 1, warps=4, stages=3, prefetch=768)
    tiles, blocks = triton.cdiv(columns, 64), inner // 128
    split = max(1, min(PROCESSORS // tiles, blocks // 4))
    return Config(64, 64 if group else 128, split, warps=4, stages=4, prefetch=512)


def _check(
    x: Tensor,
    values: Tensor,
    inner: int,
    columns: int,
    norm: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    out: Tensor | None,
) -> None:
    if not 1 <= len(x) <= ROWS:
        raise ValueError(f"A product takes 1 to {ROWS} rows, not {len(x)}.")
    expected = [(x, (len(x), inner)), (out, (len(x), columns)), (residual, (len(x), columns))]
    for given, shape in [*expected, (norm, (inner,)), (bias, (columns,))]:
        if given is not None and (given.shape != shape or given.stride(-1) != 1):
            raise ValueError(f"{list(given.shape)} should be {list(shape)} with its rows unbroken.")
    if not values.is_contiguous():
        raise ValueError("The weight must be contiguous.")


def _check_scratch(tiles: int, split: int, columns: int) -> None:
    if tiles > COUNTERS or split * ROWS * (columns + tiles) > PARTIALS:
        raise ValueError(f"{tiles} tiles split {split} ways are more than the scratch holds.")


@triton.jit(do_not_specialize=["n", "steps"])  # the same binary for any number of rows
def _linear(
    x,
    weight,
    scales,
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
    steps,  # of each program
    OPERAND: tl.constexpr,
    GROUP: tl.constexpr,  # of int4 weights, else 0
    GATED: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLIT_K: tl.constexpr,
    PREFETCH: tl.constexpr,
    EARLY: tl.constexpr,
    PDL: tl.constexpr,
    ROWS: tl.constexpr,
):
    """N counts output columns; the up rows of a gated weight are N rows further on."""
    tile = tl.program_id(0)
    split = tl.program_id(1)
    width = K // 2 if GROUP else K  # stored values of a weight's row
    first = split * steps * BLOCK_K
    row = tl.arange(0, ROWS)
    col = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    stored = tl.minimum(col, N - 1)  # columns beyond the last repeat it and are not written
    if PDL:
        _begin(weight, stored, N, width, first, GATED, PREFETCH, EARLY)
    total = tl.zeros((BLOCK_N, ROWS), tl.float32)
    up = tl.zeros((BLOCK_N, ROWS), tl.float32)
    squares = tl.zeros((BLOCK_K, ROWS), tl.float32)
    for i in range(steps):
        step = first + i * BLOCK_K
        k = step + tl.arange(0, BLOCK_K)
        rows, squares = _rows(x, norm, row, k, n, K, stride_x, squares, OPERAND, EVEN)
        if GROUP:
            high, squares = _rows(x, norm, row, width + k, n, K, stride_x, squares, OPERAND, EVEN)
            total = _add_int4(weight, scales, stored, step, k, K, rows, high, total, GROUP)
            if GATED:
                up = _add_int4(weight, scales, stored + N, step, k, K, rows, high, up, GROUP)
        else:
            total = _add(weight, stored, k, K, rows, total, EVEN)
            if GATED:
                up = _add(weight, stored + N, k, K, rows, up, EVEN)
    _end(PDL, EARLY)
    square = tl.sum(squares, axis=0)
    arrived = SPLIT_K - 1
    if SPLIT_K > 1:
        arrived = leave(partials, counters, total, square, tile, split, row, col, N, ROWS, SPLIT_K)
    if arrived == SPLIT_K - 1:
        if SPLIT_K > 1:
            total, square = collect(partials, total, square, tile, row, col, N, ROWS, SPLIT_K)
            tl.store(counters + tile, 0)
        total = _scaled(total, scales, stored, square, norm, K, eps, GROUP)
        if GATED:
            up = _scaled(up, scales, stored + N, square, norm, K, eps, GROUP)
            total *= tl.sigmoid(total) * up
        _write(total, bias, residual, out, row, col, stored, n, N, stride_residual, stride_out)


@triton.jit
def _begin(
    weight,
    col,
    N,
    width,
    first,
    GATED: tl.constexpr,
    PREFETCH: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Lets the next kernel start, and waits for the last one with the first weights under way."""
    if EARLY:
        gdc_launch_dependents()
    if PREFETCH:
        prefetch(weight, col, width, first, PREFETCH)
        if GATED:
            prefetch(weight, col + N, width, first, PREFETCH)
    gdc_wait()


@triton.jit
def _end(PDL: tl.constexpr, EARLY: tl.constexpr):
    """Lets the next kernel start where it could not before."""
    if PDL and not EARLY:
        gdc_launch_dependents()


@triton.jit
def _scaled(total, scales, col, square, norm, K, eps, GROUP: tl.constexpr):
    if scales is not None and not GROUP:
        total *= tl.load(scales + col)[:, None]
    if norm is not None:
        total *= tl.rsqrt(square / K + eps)[None, :]
    return total


@triton.jit
def _write(total, bias, residual, out, row, col, stored, n, N, stride_residual, stride_out):
    inside = (row < n)[None, :] & (col < N)[:, None]
    if bias is not None:
        total += tl.load(bias + stored).to(tl.float32)[:, None]
    if residual is not None:
        places = residual + (row * stride_residual)[None, :] + col[:, None]
        total += tl.load(places, mask=inside, other=0.0).to(tl.float32)
    places = out + (row * stride_out)[None, :] + col[:, None]
    tl.store(places, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rows(x, norm, row, k, n, K, stride, squares, OPERAND: tl.constexpr, EVEN: tl.constexpr):
    """Positions k of the rows, [BLOCK_K, ROWS], times the norm's weight; sums their squares."""
    inside = (row < n)[None, :]
    if not EVEN:
        inside &= (k < K)[:, None]
    rows = tl.load(x + (row * stride)[None, :] + k[:, None], mask=inside, other=0.0)
    if norm is not None:
        wide = rows.to(tl.float32)
        squares += wide * wide
        weights = tl.load(norm + k) if EVEN else tl.load(norm + k, mask=k < K, other=0.0)
        rows = (wide * weights.to(tl.float32)[:, None]).to(rows.dtype)
    return rows.to(OPERAND), squares


@triton.jit
def _add(weight, col, k, K, rows, total, EVEN: tl.constexpr):
    """total [BLOCK_N, ROWS] and the product of the weights of these columns with the rows."""
    places = weight + (col.to(tl.int64) * K)[:, None] + k[None, :]
    tile = tl.load(places) if EVEN else tl.load(places, mask=(k < K)[None, :], other=0.0)
    return tl.dot(tile.to(rows.dtype), rows, total, input_precision="ieee")


@triton.jit
def _add_int4(weight, scales, col, step, k, K, low, high, total, GROUP: tl.constexpr):
    """As `_add`, where a byte holds a weight of the first and one of the second half of a row."""
    half = K // 2
    tile = tl.load(weight + (col.to(tl.int64) * half)[:, None] + k[None, :])
    first, second = _unpacked(tile, low.dtype)
    scale = scales + col * (K // GROUP) + step // GROUP
    total += tl.dot(first, low, input_precision="ieee") * tl.load(scale)[:, None]
    scale += half // GROUP
    return total + tl.dot(second, high, input_precision="ieee") * tl.load(scale)[:, None]


@triton.jit
def _unpacked(tile, dtype: tl.constexpr):
    """Both weights of each byte. As the last bits of bfloat16's 128 a half byte v stands for
    128 + v, so that no integer is converted; from 136 it is v - 8."""
    if dtype == tl.bfloat16:
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, one, less;
            mov.b32 one, 0x3F803F80; mov.b32 less, 0xC308C308;
            prmt.b32 a, $4, 0, 0x4140; prmt.b32 b, $4, 0, 0x4342;
            lop3.b32 $0, a, 0x000F000F, 0x43004300, 0xEA;
            lop3.b32 $1, b, 0x000F000F, 0x43004300, 0xEA;
            shr.b32 a, a, 4; shr.b32 b, b, 4;
            lop3.b32 $2, a, 0x000F000F, 0x43004300, 0xEA;
            lop3.b32 $3, b, 0x000F000F, 0x43004300, 0xEA;
            fma.rn.bf16x2 $0, $0, one, less; fma.rn.bf16x2 $1, $1, one, less;
            fma.rn.bf16x2 $2, $2, one, less; fma.rn.bf16x2 $3, $3, one, less;
            }
            """,
            "=&r,=&r,=&r,=&r,r",
            [tile],
            dtype=(tl.bfloat16, tl.bfloat16),
            is_pure=True,
            pack=4,
        )
    first = ((tile & 15).to(tl.int8) - 8).to(dtype)
    return first, ((tile >> 4).to(tl.int8) - 8).to(dtype)
