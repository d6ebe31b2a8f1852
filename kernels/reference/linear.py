"""What `kernels.linear` computes, in plain torch. Each sum is in the type of its arguments."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..quantised import Int4, Int8, dequantise


def linear(
    x: Tensor,
    weight: Tensor | Int8 | Int4,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """x [n, K] @ weight [N, K] transposed (+ bias [N]) (+ residual [n, N])."""
    dense = weight if isinstance(weight, Tensor) else dequantise(weight).to(x.dtype)
    product = F.linear(x, dense, bias)
    return product if residual is None else product + residual


def norm_linear(
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Tensor | Int8 | Int4,
    bias: Tensor | None = None,
) -> Tensor:
    return linear(F.rms_norm(x, norm.shape, norm.to(x.dtype), eps), weight, bias)


def norm_gate_up(x: Tensor, norm: Tensor, eps: float, weight: Tensor | Int8 | Int4) -> Tensor:
    gate, up = norm_linear(x, norm, eps, weight).chunk(2, dim=-1)
    return F.silu(gate) * up
