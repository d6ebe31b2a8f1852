"""Philox4x64-10 (Salmon et al. 2011), word for word what numpy's Philox draws."""

from __future__ import annotations

import triton
import triton.language as tl

ROUNDS: tl.constexpr = tl.constexpr(10)
MULTIPLIERS: tl.constexpr = tl.constexpr((0xD2E7470EE14C6C93, 0xCA5A826395121157))
WEYL: tl.constexpr = tl.constexpr((0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B))
UNIT: tl.constexpr = tl.constexpr(2.0**-53)


@triton.jit
def philox(seed, position, block):
    """The four 64-bit words of each of `block`: what numpy's Philox(key=seed,
    counter=position << 64) draws from word 4 * block on, for it counts before it draws."""
    a = block.to(tl.uint64) + 1
    b = tl.zeros_like(a) + position.to(tl.uint64)
    c = tl.zeros_like(a)
    d = tl.zeros_like(a)
    low = seed.to(tl.uint64)
    high = tl.zeros_like(low)
    for _ in tl.static_range(ROUNDS):
        first = tl.full(a.shape, MULTIPLIERS[0], tl.uint64)
        second = tl.full(a.shape, MULTIPLIERS[1], tl.uint64)
        a, b, c, d = (
            tl.umulhi(second, c) ^ b ^ low,
            second * c,
            tl.umulhi(first, a) ^ d ^ high,
            first * a,
        )
        low += tl.full([], WEYL[0], tl.uint64)
        high += tl.full([], WEYL[1], tl.uint64)
    return a, b, c, d


@triton.jit
def uniforms(seed, position, start, COUNT: tl.constexpr):
    """float64 draws from [0, 1) of the ids `start` to `start + COUNT`, both multiples of 4."""
    a, b, c, d = philox(seed, position, start // 4 + tl.arange(0, COUNT // 4))
    words = tl.interleave(tl.interleave(a, c), tl.interleave(b, d))
    return (words >> 11).to(tl.float64) * UNIT
