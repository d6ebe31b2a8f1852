"""What `kernels/rope.py` computes, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate_and_write(heads: Tensor, turns: Tensor, start: Tensor, cache: Tensor) -> None:
    n, count, _ = heads.shape
    keys, slots = cache.shape[1], slice(int(start), int(start) + n)
    queries = count - 2 * keys
    wide = heads[:, : queries + keys].to(torch.promote_types(heads.dtype, torch.float32))
    a, b = wide.unflatten(-1, (-1, 2)).unbind(-1)
    c, d = turns[slots, None].to(wide.dtype).unbind(-1)
    turned = torch.stack([a * c - b * d, a * d + b * c], dim=-1).flatten(-2).to(heads.dtype)
    heads[:, :queries] = turned[:, :queries]
    cache[0, :, slots] = turned[:, queries:].transpose(0, 1)
    cache[1, :, slots] = heads[:, queries + keys :].transpose(0, 1)
