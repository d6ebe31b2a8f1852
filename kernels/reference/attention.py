"""What `kernels/attention.py` computes, in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .rope import rotate_and_write


def attention(heads: Tensor, turns: Tensor, cache: Tensor, start: Tensor) -> Tensor:
    n, count, _ = heads.shape
    keys, first = cache.shape[1], int(start)
    group = count // keys - 2
    heads = heads.clone()
    rotate_and_write(heads, turns, start, cache)
    wide = torch.promote_types(heads.dtype, torch.float32)
    queries = heads[:, : keys * group].unflatten(1, (keys, group)).to(wide)
    k, v = cache[:, :, : first + n].to(wide)
    scores = torch.einsum("nkgd,ksd->kgns", queries, k) / math.sqrt(heads.shape[2])
    hidden = torch.ones(n, first + n, dtype=torch.bool, device=heads.device).triu(first + 1)
    weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return torch.einsum("kgns,ksd->nkgd", weights, v).flatten(1).to(heads.dtype)
