"""BK-Core: the diagonal of (T - zI)^-1 of tridiagonal T as a parallel scan.

The continued fractions of reference/bk_core.py are prefix products of complex 2x2 matrices, which
are associative. Rows are cut into chunks that run in parallel: the first launch multiplies up each
chunk, the second carries the products from chunk to chunk, and the third scans each chunk again
from what was carried to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

PLANES: tl.constexpr = tl.constexpr(8)  # real and imaginary parts of a matrix, by rows
EXPONENT: tl.constexpr = tl.constexpr(0x7F800000)  # bits of a float32


class Config(NamedTuple):
    chunk: int  # positions of a program
    warps: int


@triton.jit
def _multiply(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p):  # noqa: E741
    """The matrix of the later eight planes times that of the earlier, divided by the power of two
    at its largest entry, which is exact and which no quotient sees."""
    q = i * a - j * b + k * e - l * f
    r = i * b + j * a + k * f + l * e
    s = i * c - j * d + k * g - l * h
    t = i * d + j * c + k * h + l * g
    u = m * a - n * b + o * e - p * f
    v = m * b + n * a + o * f + p * e
    w = m * c - n * d + o * g - p * h
    x = m * d + n * c + o * h + p * g
    return _scaled(q, r, s, t, u, v, w, x)


@triton.jit
def _scaled(a, b, c, d, e, f, g, h):
    largest = tl.maximum(
        tl.maximum(tl.maximum(tl.abs(a), tl.abs(b)), tl.maximum(tl.abs(c), tl.abs(d))),
        tl.maximum(tl.maximum(tl.abs(e), tl.abs(f)), tl.maximum(tl.abs(g), tl.abs(h))),
    )
    exponent = largest.to(tl.int32, bitcast=True) & EXPONENT
    s = tl.maximum(0x7F000000 - exponent, 0x00800000).to(tl.float32, bitcast=True)
    return a * s, b * s, c * s, d * s, e * s, f * s, g * s, h * s


@triton.jit
def _complex(tensor, row, size, place, inside, COMPLEX: tl.constexpr):
    """Real and imaginary parts at `place` of a row of a contiguous tensor; 0 outside."""
    offset = row * size + place
    if COMPLEX:
        re = tl.load(tensor + 2 * offset, mask=inside, other=0.0)
        im = tl.load(tensor + 2 * offset + 1, mask=inside, other=0.0)
    else:
        re = tl.load(tensor + offset, mask=inside, other=0.0)
        im = tl.zeros_like(re)
    return re, im


@triton.jit
def _matrices(diagonal, upper, lower, re, im, row, n, link, at, COMPLEX: tl.constexpr):
    """[[0, -k], [1, a]] with the k of `link` and the a of `at`, scaled; the identity where there
    is no such link."""
    inside = (link >= 0) & (link < n - 1)
    ar, ai = _complex(diagonal, row, n, at, inside, COMPLEX)
    br, bi = _complex(upper, row, n - 1, link, inside, COMPLEX)
    cr, ci = _complex(lower, row, n - 1, link, inside, COMPLEX)
    none = tl.zeros_like(ar)
    one = none + 1.0
    return _scaled(
        tl.where(inside, none, one),
        none,
        bi * ci - br * cr,
        -(br * ci + bi * cr),
        tl.where(inside, one, none),
        none,
        tl.where(inside, ar - re, one),
        tl.where(inside, ai - im, none),
    )


@triton.jit
def _scans(
    diagonal, upper, lower, re, im, row, n, start, COMPLEX: tl.constexpr, CHUNK: tl.constexpr
):
    """The products within a chunk up to each position, from the front and from the back."""
    place = start + tl.arange(0, CHUNK)
    given = (diagonal, upper, lower, re, im, row, n)
    front = _matrices(*given, place - 1, place - 1, COMPLEX)
    back = _matrices(*given, place, place + 1, COMPLEX)
    return (
        tl.associative_scan(front, 0, _multiply),
        tl.associative_scan(back, 0, _multiply, reverse=True),
    )


@triton.jit
def _products(
    diagonal, upper, lower, re, im, n, products, COMPLEX: tl.constexpr, CHUNK: tl.constexpr
):
    """The product of each chunk, from the front and from the back [batch, 2, PLANES, chunks]."""
    chunk, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    chunks = tl.num_programs(0)
    given = (diagonal, upper, lower, re, im, row, n)
    front, back = _scans(*given, chunk * CHUNK, COMPLEX, CHUNK)
    inner = tl.arange(0, CHUNK)
    here = products + row * (2 * PLANES) * chunks + chunk + tl.zeros_like(inner)
    for plane in tl.static_range(PLANES):
        tl.store(here + plane * chunks, front[plane], mask=inner == CHUNK - 1)
        tl.store(here + (PLANES + plane) * chunks, back[plane], mask=inner == 0)


@triton.jit
def _carry(products, carried, chunks, CHUNKS: tl.constexpr):
    """What arrives at each chunk of a row, from the front and from the back: p and q of the
    quotient, [batch, 2, 4, chunks]."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.arange(0, CHUNKS)
    for direction in tl.static_range(2):
        source = chunk - 1 + 2 * direction
        inside = (source >= 0) & (source < chunks)
        matrix = products + (2 * row + direction) * PLANES * chunks + source
        arrived = tl.associative_scan(
            (
                tl.load(matrix, mask=inside, other=1.0),
                tl.load(matrix + chunks, mask=inside, other=0.0),
                tl.load(matrix + 2 * chunks, mask=inside, other=0.0),
                tl.load(matrix + 3 * chunks, mask=inside, other=0.0),
                tl.load(matrix + 4 * chunks, mask=inside, other=0.0),
                tl.load(matrix + 5 * chunks, mask=inside, other=0.0),
                tl.load(matrix + 6 * chunks, mask=inside, other=1.0),
                tl.load(matrix + 7 * chunks, mask=inside, other=0.0),
            ),
            0,
            _multiply,
            reverse=direction == 1,
        )
        target = carried + (2 * row + direction) * 4 * chunks + chunk
        tl.store(target, arrived[2], mask=chunk < chunks)
        tl.store(target + chunks, arrived[3], mask=chunk < chunks)
        tl.store(target + 2 * chunks, arrived[6], mask=chunk < chunks)
        tl.store(target + 3 * chunks, arrived[7], mask=chunk < chunks)


@triton.jit
def _quotient(matrix, arrived, chunks):
    """p and q of `matrix` times what `arrived`, in float64: where q is next to nothing, products
    of two would vanish in float32."""
    pr, pi = tl.load(arrived), tl.load(arrived + chunks)
    qr, qi = tl.load(arrived + 2 * chunks), tl.load(arrived + 3 * chunks)
    a, b, c, d, e, f, g, h = matrix
    return (
        (a * pr - b * pi + c * qr - d * qi).to(tl.float64),
        (a * pi + b * pr + c * qi + d * qr).to(tl.float64),
        (e * pr - f * pi + g * qr - h * qi).to(tl.float64),
        (e * pi + f * pr + g * qi + h * qr).to(tl.float64),
    )


@triton.jit
def _apply(
    diagonal, upper, lower, re, im, n, carried, out, COMPLEX: tl.constexpr, CHUNK: tl.constexpr
):
    """G = 1 / (a + x + y), with x and y as quotients that may be infinite."""
    chunk, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    chunks, start = tl.num_programs(0), chunk * CHUNK
    front, back = _scans(diagonal, upper, lower, re, im, row, n, start, COMPLEX, CHUNK)
    arrived = carried + row * 8 * chunks + chunk
    xr, xi, ur, ui = _quotient(front, arrived, chunks)
    yr, yi, vr, vi = _quotient(back, arrived + 4 * chunks, chunks)
    place = start + tl.arange(0, CHUNK)
    ar, ai = _complex(diagonal, row, n, place, place < n, COMPLEX)
    ar, ai = (ar - re).to(tl.float64), (ai - im).to(tl.float64)
    top_r, top_i = ur * vr - ui * vi, ur * vi + ui * vr
    low_r = ar * top_r - ai * top_i + xr * vr - xi * vi + yr * ur - yi * ui
    low_i = ar * top_i + ai * top_r + xr * vi + xi * vr + yr * ui + yi * ur
    norm = low_r * low_r + low_i * low_i
    real = (top_r * low_r + top_i * low_i) / norm
    imaginary = (top_i * low_r - top_r * low_i) / norm
    both = tl.interleave(real.to(tl.float32), imaginary.to(tl.float32))
    part = 2 * start + tl.arange(0, 2 * CHUNK)
    tl.store(out + row * (2 * n) + part, both, mask=part < 2 * n)


def _config(n: int) -> Config:
    """Chunks of 256 keep eight planes in registers; a long row gets longer ones, so that no more
    than 1024 are carried in one program."""
    chunk = max(256, triton.next_power_of_2(triton.cdiv(n, 1024)))
    return Config(chunk, min(16, chunk // 64))


def bk_core(
    diagonal: Tensor,
    upper: Tensor,
    lower: Tensor,
    shift: complex,
    *,
    out: Tensor | None = None,
    config: Config | None = None,
) -> Tensor:
    """G_i = [(T - shift I)^-1]_ii of each row of `diagonal` [B, N], with the super- and
    sub-diagonals `upper` and `lower` [B, N - 1], real or complex: complex64 [B, N].

    Computed in float32, so that every product upper_i * lower_i must lie within its range.
    """
    batch, n = diagonal.shape
    if n < 1 or upper.shape != (batch, n - 1) or lower.shape != upper.shape:
        raise ValueError("A diagonal [B, N] has off-diagonals [B, N - 1], and N is at least 1.")
    bands = [each.contiguous() for each in _planes(diagonal, upper, lower)]
    chunk, warps = config or _config(n)
    chunks, device = triton.cdiv(n, chunk), diagonal.device
    if out is None:
        out = torch.empty(batch, n, dtype=torch.complex64, device=device)
    if out.shape != (batch, n) or out.dtype != torch.complex64 or not out.is_contiguous():
        raise ValueError("The output must be contiguous complex64 [B, N].")
    products = torch.empty(batch, 2, PLANES.value, chunks, dtype=torch.float32, device=device)
    carried = torch.empty(batch, 2, 4, chunks, dtype=torch.float32, device=device)
    given = (*bands, float(shift.real), float(shift.imag), n)
    constants = {"COMPLEX": bands[0].dim() == 3, "CHUNK": chunk, "num_warps": warps}
    _products[(chunks, batch)](*given, products, **constants)
    _carry[(batch,)](products, carried, chunks, CHUNKS=triton.next_power_of_2(chunks))
    _apply[(chunks, batch)](*given, carried, torch.view_as_real(out), **constants)
    return out


def _planes(*bands: Tensor) -> list[Tensor]:
    """Float32 of each, with a last dimension of both parts where any is complex."""
    if any(each.is_complex() for each in bands):
        return [torch.view_as_real(each.to(torch.complex64)) for each in bands]
    return [each.to(torch.float32) for each in bands]
