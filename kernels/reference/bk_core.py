"""The diagonal of (T - zI)^-1 of tridiagonal T, three ways in plain torch.

With a the diagonal minus z and k_i = upper_i * lower_i, what the rows before and after row i leave
of it are continued fractions: x_i = -k_{i-1} / (a_{i-1} + x_{i-1}) from the front, y_i = -k_i /
(a_{i+1} + y_{i+1}) from the back, 0 at the ends, and G_i = 1 / (a_i + x_i + y_i).
"""

from __future__ import annotations

import torch
from torch import Tensor


def dense(diagonal: Tensor, upper: Tensor, lower: Tensor, shift: complex) -> Tensor:
    """By inverting the whole matrices in complex128; for a small N."""
    centre, above, below = (each.to(torch.complex128) for each in (diagonal, upper, lower))
    matrix = torch.diag_embed(centre - shift)
    matrix += torch.diag_embed(above, 1) + torch.diag_embed(below, -1)
    inverse: Tensor = torch.linalg.inv(matrix)
    return inverse.diagonal(dim1=1, dim2=2)


def serial(diagonal: Tensor, upper: Tensor, lower: Tensor, shift: complex) -> Tensor:
    """By the recurrences, one position of the whole batch at a time, in the inputs' precision."""
    a, k = _terms(diagonal, upper, lower, shift)
    return 1 / (a + _recurrence(a, k) + _recurrence(a.flip(1), k.flip(1)).flip(1))


def scan(diagonal: Tensor, upper: Tensor, lower: Tensor, shift: complex) -> Tensor:
    """By prefix products of 2x2 matrices, in log2 N steps over all positions (Hillis and Steele
    1986), in complex64."""
    a, k = _terms(diagonal, upper, lower, shift)
    a, k = a.to(torch.complex64), k.to(torch.complex64)
    return 1 / (a + _prefix(a, k) + _prefix(a.flip(1), k.flip(1)).flip(1))


def _terms(diagonal: Tensor, upper: Tensor, lower: Tensor, shift: complex) -> tuple[Tensor, Tensor]:
    double = diagonal.dtype in (torch.float64, torch.complex128)
    dtype = torch.complex128 if double else torch.complex64
    return diagonal.to(dtype) - shift, upper.to(dtype) * lower.to(dtype)


def _recurrence(a: Tensor, k: Tensor) -> Tensor:
    x = [torch.zeros_like(a[:, 0])]
    for i in range(a.shape[1] - 1):
        x.append(-k[:, i] / (a[:, i] + x[-1]))
    return torch.stack(x, 1)


def _prefix(a: Tensor, k: Tensor) -> Tensor:
    """The same as quotients: x_i is p / q where (p, q) is the product of [[0, -k], [1, a]] of all
    positions before i, times (0, 1)."""
    steps = torch.stack([torch.zeros_like(k), -k, torch.ones_like(k), a[:, :-1]], -1)
    product = _unit(steps.reshape(*k.shape, 2, 2))
    reach = 1
    while reach < k.shape[1]:
        joined = _unit(product[:, reach:] @ product[:, :-reach])
        product = torch.cat([product[:, :reach], joined], 1)
        reach *= 2
    x = product[..., 0, 1] / product[..., 1, 1]
    return torch.cat([torch.zeros_like(a[:, :1]), x], 1)


def _unit(matrices: Tensor) -> Tensor:
    """Divided by the largest entry, which no quotient sees and which keeps all within range."""
    return matrices / matrices.abs().amax((-2, -1), keepdim=True)
