"""Weights in fewer bits than the rows they multiply, which stay in floating point.

Rows rounded to 8 bits as well would be faster still, but the embedded model's perplexity then
rises by 2 to 6 %, against less than 1 % with weights alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels.quantised import Int4, Int8, dequantise, quantise_int4, quantise_int8
from .events import EngineError

MANY = 12  # rows from which widening the weights costs less than products of narrow ones
TILE = 512  # rows of a weight that are widened at a time: they stay in the processor's cache
GROUPS = (128, 64, 32)  # neighbours that share an int4 scale on a GPU, the first that fits
GROUP = 32  # on a CPU, as in 4-bit GGUF files


class Rows:
    """int8 on a CPU, a scale for each row: torch's product of bfloat16 by int8."""

    weight = None

    def __init__(self, weight: Tensor) -> None:
        self._held = quantise_int8(weight)
        self._scales = self._held.scales.bfloat16()
        self._fits = weight.shape[1] % 64 == 0  # torch reads beyond the end of other rows
        self.nbytes = self._held.values.nbytes + self._scales.nbytes

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        if self._fits and len(x) < MANY:
            few = torch._weight_int8pack_mm(x.bfloat16(), self._held.values, self._scales)
            return _finished(few, x, bias)
        return _finished(_widened(x, self._held.values) * self._scales, x, bias)


class Bf16:
    """bfloat16 where the CPU has no instructions for it, or on a GPU."""

    weight = None

    def __init__(self, weight: Tensor) -> None:
        self._held = weight.bfloat16()
        self.nbytes = self._held.nbytes

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        if x.is_cuda or len(x) < MANY:
            return _finished(F.linear(x.bfloat16(), self._held), x, bias)
        return _finished(_widened(x, self._held), x, bias)


class Groups:
    """int4 on a CPU, a scale and an offset for each GROUP of a row."""

    weight = None

    def __init__(self, weight: Tensor) -> None:
        rows, inner = weight.shape
        if rows % 16 or inner % GROUP:
            raise _misfit(weight, f"multiples of 16 rows of {GROUP} weights")
        groups = weight.float().view(rows, -1, GROUP)
        low, high = groups.aminmax(dim=-1, keepdim=True)
        scale = torch.where(high > low, (high - low) / 15, 1.0)
        values = ((groups - low) / scale).round_().to(torch.int32).view(rows, inner)
        self._values = torch._convert_weight_to_int4pack_for_cpu(values, 1)
        both = torch.cat((scale, low + 8 * scale), dim=-1)  # torch holds that a value of 8 is 0
        self._scales = both.transpose(0, 1).bfloat16().contiguous()
        self.nbytes = self._values.nbytes + self._scales.nbytes

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        product = torch._weight_int4pack_mm_for_cpu(x.bfloat16(), self._values, GROUP, self._scales)
        return _finished(product, x, bias)


class Quantised:
    """int8 or int4 on a GPU, for our own kernels; torch widens the whole of it for each product."""

    def __init__(self, weight: Int8 | Int4) -> None:
        self.weight = weight
        self.nbytes = weight.nbytes

    @classmethod
    def int8(cls, weight: Tensor) -> Quantised:
        return cls(quantise_int8(weight))

    @classmethod
    def int4(cls, weight: Tensor) -> Quantised:
        fitting = [group for group in GROUPS if weight.shape[1] % (2 * group) == 0]
        if not fitting:
            raise _misfit(weight, f"rows of a multiple of {2 * GROUPS[-1]} weights")
        return cls(quantise_int4(weight, fitting[0]))

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, dequantise(self.weight).to(x.dtype), bias)


def _widened(x: Tensor, values: Tensor) -> Tensor:
    """x times `values`, which are widened a tile at a time to what this CPU multiplies fast."""
    fast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    rows = x.to(torch.bfloat16 if fast else torch.float32)
    product = rows.new_empty(len(rows), len(values))
    for start in range(0, len(values), TILE):
        tile = values[start : start + TILE].to(rows.dtype)
        product[:, start : start + TILE] = F.linear(rows, tile)
    return product


def _finished(product: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    finished = product.to(x.dtype)
    return finished if bias is None else finished.add_(bias)


def _misfit(weight: Tensor, wanted: str) -> EngineError:
    rows, inner = weight.shape
    return EngineError(
        f"int4 needs matrices with {wanted}, and this model has one of {rows} x {inner}.",
        "Use /quantize int8.",
    )
