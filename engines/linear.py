"""The one place that multiplies by a weight matrix."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels.quantised import Int4, Int8
from .nf4 import Nf4
from .quantise import Bf16, Groups, Quantised, Rows

Weight = Tensor | Int8 | Int4  # what our kernels multiply by


class Storage(Protocol):
    """A weight [out, in] as it is held."""

    @property
    def nbytes(self) -> int: ...
    @property
    def weight(self) -> Weight | None:
        """As our kernels take it; None where they cannot."""
        ...

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x [n, in] to [n, out] in x's dtype."""
        ...


class Linear:
    """A weight [out, in] and its bias, stored the way this machine multiplies fastest, or as
    `quantize` (a name of options.QUANTIZATIONS) says. Raises EngineError where it cannot be."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, quantize: str = "none") -> None:
        self.parameters = weight.numel() + (0 if bias is None else bias.numel())
        self.bias = bias
        self._storage = hold(weight, quantize)
        self.shared = self._storage.weight is weight  # no copy of the tensor given
        self.nbytes = self._storage.nbytes + (0 if bias is None else bias.nbytes)

    def __call__(self, x: Tensor) -> Tensor:
        return self._storage(x, self.bias)

    @property
    def weight(self) -> Weight | None:
        return self._storage.weight


def hold(weight: Tensor, quantize: str) -> Storage:
    """The one choice of how a weight is stored."""
    cuda = weight.is_cuda
    if quantize == "nf4":
        return Nf4(weight)
    if quantize == "int8":
        return Quantised.int8(weight) if cuda else Rows(weight)
    if quantize == "int4":
        return Quantised.int4(weight) if cuda else Groups(weight)
    if quantize == "bf16" and weight.dtype != torch.bfloat16:
        return Bf16(weight) if cuda or not _packs(weight.bfloat16()) else PackedBf16(weight)
    return Packed(weight) if _packs(weight) else Plain(weight)


class Plain:
    """torch's own row-major matrix."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.nbytes = weight.nbytes

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, self.weight, bias)


class Packed:
    """oneDNN's blocked layout: decoding is bound by how fast weights stream from memory, and for
    one to a few rows MKL's products of plain matrices reach only a third of it."""

    weight = None

    def __init__(self, weight: Tensor) -> None:
        self.nbytes = weight.nbytes
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, bias, "none", [], "")
        return product


class PackedBf16(Packed):
    """bfloat16 on a CPU that has instructions for it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.bfloat16())

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        product = super().__call__(x.bfloat16(), None).to(x.dtype)
        return product if bias is None else product.add_(bias)


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
