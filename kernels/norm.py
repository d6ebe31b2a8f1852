"""RMS norm with the addition before it, and SwiGLU: where no linear layer does them itself."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .launch import pdl

BLOCK = 1024  # elements of one program of `swiglu`


@triton.jit
def _add_rms_norm(
    x,
    delta,
    weight,
    out,
    x_stride,
    delta_stride,
    eps,
    HIDDEN: tl.constexpr,
    PADDED: tl.constexpr,
    PDL: tl.constexpr,
):
    row = tl.program_id(0)
    column = tl.arange(0, PADDED)
    inside = column < HIDDEN
    factors = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    values = tl.load(x + row * x_stride + column, mask=inside, other=0.0)
    if delta is not None:
        added = tl.load(delta + row * delta_stride + column, mask=inside, other=0.0)
        values = (values.to(tl.float32) + added.to(tl.float32)).to(x.dtype.element_ty)
        tl.store(x + row * x_stride + column, values, mask=inside)
    wide = values.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide) / HIDDEN + eps)
    tl.store(out + row * HIDDEN + column, wide * scale * factors, mask=inside)


def add_rms_norm(
    x: Tensor, delta: Tensor | None, weight: Tensor, eps: float, *, out: Tensor | None = None
) -> Tensor:
    """The RMS norm of `x` [n, hidden] after `delta` of the same shape was added to it in place;
    statistics in float32 of the sum as rounded, the result rounded once."""
    n, hidden = x.shape
    if out is None:
        out = torch.empty(n, hidden, dtype=x.dtype, device=x.device)
    if x.stride(1) != 1 or (delta is not None and delta.stride(1) != 1):
        raise ValueError("The numbers of a row must lie one after another.")
    if delta is not None and delta.shape != x.shape:
        raise ValueError(f"Rows of {tuple(delta.shape)} cannot be added to {tuple(x.shape)}.")
    if weight.shape != (hidden,) or not weight.is_contiguous():
        raise ValueError(f"The norm's weights must be {hidden} in a row.")
    if out.shape != x.shape or not out.is_contiguous():
        raise ValueError("The output must be contiguous and of the input's shape.")
    dependent = pdl(x.device)
    _add_rms_norm[(n,)](
        x,
        delta,
        weight,
        out,
        x.stride(0),
        0 if delta is None else delta.stride(0),
        eps,
        HIDDEN=hidden,
        PADDED=triton.next_power_of_2(hidden),
        PDL=dependent,
        num_warps=8 if hidden > 1024 else 4,
        launch_pdl=dependent,
    )
    return out


@triton.jit
def _swiglu(gate_up, out, row_stride, WIDTH: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < WIDTH
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    source = gate_up + row * row_stride + column
    gate = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(source + WIDTH, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * WIDTH + column, gate * tl.sigmoid(gate) * up, mask=inside)


def swiglu(gate_up: Tensor, *, out: Tensor | None = None) -> Tensor:
    """silu(gate) * up [n, m] of rows that hold m gates and then m ups; float32, rounded once."""
    n, width = gate_up.shape[0], gate_up.shape[1] // 2
    if gate_up.shape[1] % 2 or gate_up.stride(1) != 1:
        raise ValueError("A row must be as many gates as ups, one after another.")
    if out is None:
        out = torch.empty(n, width, dtype=gate_up.dtype, device=gate_up.device)
    if out.shape != (n, width) or not out.is_contiguous():
        raise ValueError("The output must be contiguous [n, width].")
    dependent = pdl(gate_up.device)
    _swiglu[(n, triton.cdiv(width, BLOCK))](
        gate_up,
        out,
        gate_up.stride(0),
        WIDTH=width,
        BLOCK=BLOCK,
        PDL=dependent,
        num_warps=4,
        launch_pdl=dependent,
    )
    return out
