"""Weights in eight or four bits, symmetric, for products whose rows stay in floating point.

int8 has one scale a row: the largest magnitude becomes 127. int4 has one scale a group of
`group` neighbours of a row: the largest magnitude becomes 7, so that -8 is never used. Byte j of
an int4 row holds value j in its low half and value j + K/2 in its high half, each plus 8: a tile
of bytes is then two tiles of weights, and nothing need be shuffled between threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Int8:
    """A weight [N, K]."""

    values: Tensor  # int8 [N, K]
    scales: Tensor  # float32 [N]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True)
class Int4:
    """A weight [N, K]."""

    values: Tensor  # uint8 [N, K / 2]
    scales: Tensor  # float32 [N, K / group]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], 2 * self.values.shape[1]

    @property
    def group(self) -> int:
        return self.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


def quantise_int8(weight: Tensor) -> Int8:
    wide = weight.float()
    scales = _scale(wide, 127)
    return Int8((wide / scales).round_().to(torch.int8), scales.squeeze(-1))


def quantise_int4(weight: Tensor, group: int = 128) -> Int4:
    """ValueError unless the group is 32, 64 or 128 and each half of a row a number of groups."""
    rows, inner = weight.shape
    if group not in (32, 64, 128):
        raise ValueError(f"Groups are of 32, 64 or 128 weights, not of {group}.")
    if inner % (2 * group):
        raise ValueError(
            f"Rows of {inner} weights are no whole number of pairs of groups of {group}."
        )
    wide = weight.float().view(rows, -1, group)
    scales = _scale(wide, 7)
    values = ((wide / scales).round_() + 8).to(torch.uint8).view(rows, 2, inner // 2)
    return Int4(values[:, 0] | values[:, 1] << 4, scales.squeeze(-1))


def dequantise(weight: Int8 | Int4) -> Tensor:
    """The weight [N, K] that the quantised one stands for, in float32."""
    if isinstance(weight, Int8):
        return weight.values.float() * weight.scales[:, None]
    rows, inner = weight.shape
    values = torch.cat([weight.values & 15, weight.values >> 4], dim=1).float() - 8
    return (values.view(rows, -1, weight.group) * weight.scales[:, :, None]).view(rows, inner)


def _scale(weight: Tensor, largest: int) -> Tensor:
    """Along the last dimension, which is kept; 1 where all weights are 0."""
    scales = weight.abs().amax(-1, keepdim=True) / largest
    return torch.where(scales > 0, scales, 1.0)
