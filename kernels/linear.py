"""Products of a few rows with a weight matrix, as decoding needs them: bound by memory.

A program makes a tile of output columns. It streams the weights of its columns once, whatever the
number of rows, which are padded to what a tensor core takes. The number of rows changes neither
the tiles nor the order of any sum, so a row comes out bit for bit the same alone and in a block.

The weights are the left operand of each product, [BLOCK_N, BLOCK_K] @ [BLOCK_K, ROWS]: from 64
columns and 4 warps on, Hopper's tensor cores then read them from shared memory by themselves.

RMSNorm takes no pass of its own, unless weights are narrow: rows enter the product times the norm's
weight, their squares are summed alongside, and the sums are divided by the root mean square at the
end. A row is rounded once, as in torch, though before the division.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from . import dense, narrow
from .launch import ROWS, Config, Sums, Workspace
from .norm import add_rms_norm
from .quantised import Int4, Int8

Weight = Tensor | Int8 | Int4


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
    values = weight if isinstance(weight, Tensor) else weight.values
    columns, inner = weight.shape[0] // (2 if gated else 1), weight.shape[1]
    if out is None:
        out = x.new_empty(len(x), columns)
    _check(x, values, inner, columns, norm, bias, residual, out)
    if not isinstance(weight, Tensor):
        rows = x if norm is None else add_rms_norm(x, None, norm, eps)
        return narrow.launch(rows, weight, bias, residual, gated, out, workspace, config)
    if norm is not None and x.dtype == torch.float16:  # no room for rows before they are divided
        x, norm = F.rms_norm(x, norm.shape, norm.to(x.dtype), eps), None
    dense.launch(x, weight, norm, eps, bias, residual, gated, out, workspace, config)
    return out


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
