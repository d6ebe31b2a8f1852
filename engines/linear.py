"""The one place that multiplies by a weight matrix."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Linear:
    """A weight [out, in] and its bias, stored the way this machine multiplies fastest.

    On a CPU that is oneDNN's blocked layout: decoding is bound by how fast weights stream from
    memory, and for one to a few rows MKL's products of plain matrices reach only a third of it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.parameters = weight.numel() + (0 if bias is None else bias.numel())
        self.nbytes = self.parameters * weight.element_size()
        self.packed = _packs(weight)
        self._weight = _pack(weight) if self.packed else weight
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(
                x, self._weight, self._bias, "none", [], ""
            )
            return product
        return F.linear(x, self._weight, self._bias)


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return packed


def _packs(weight: Tensor) -> bool:
    """oneDNN knows no float64, and the half types only on CPUs that have instructions for them."""
    onednn = torch.ops.mkldnn
    if weight.device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    if weight.dtype == torch.bfloat16:
        return bool(onednn._is_mkldnn_bf16_supported())
    if weight.dtype == torch.float16:
        return bool(onednn._is_mkldnn_fp16_supported())
    return weight.dtype == torch.float32
