"""Attention, and the turning and writing that goes before it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .case import Case, Setting


def attention_cases(on: Setting) -> Iterator[Case]:
    from ..attention import attention, workspace_size
    from ..reference.attention import attention as reference

    shape, (start, known) = on.shape, _start(on)
    heads, turns, caches = _heads(on), _turns(on), _caches(on)
    size = workspace_size(on.batch, shape.queries, shape.dim, on.seq)
    workspace = torch.empty(size, dtype=torch.float32, device=on.device)
    queries = heads[None, :, : shape.queries].transpose(1, 2)
    mask = torch.ones(on.batch, on.seq, dtype=torch.bool, device=on.device).tril_(int(known))

    def ours(i: int) -> Tensor:
        return attention(heads, turns, caches[i], start, reach=on.seq, workspace=workspace)

    def fast(i: int) -> Tensor:
        keys, values = caches[i][:, None]
        seen = None if on.batch == 1 else mask
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=seen, enable_gqa=True
        )

    yield Case(
        "attention",
        f"{on.batch} rows, {shape.queries}/{shape.keys} heads × {shape.dim}, {on.seq} positions",
        nbytes=caches[0].nbytes,
        copies=len(caches),
        triton=ours,
        torch=lambda i: reference(heads, turns, caches[i], known),
        check=lambda: (ours(0), reference(heads.double(), turns, caches[0].double(), known)),
        fast=fast,
        note="torch's fast path neither turns nor writes",
    )


def rotate_and_write_cases(on: Setting) -> Iterator[Case]:
    from ..reference.rope import rotate_and_write as reference
    from ..rope import rotate_and_write

    start, known = _start(on)
    heads, turns, caches = _heads(on), _turns(on), _caches(on)

    def check() -> tuple[Tensor, Tensor]:
        ours, right = heads.clone(), heads.double()
        cache, exact = caches[0].clone(), caches[0].double()
        rotate_and_write(ours, turns, start, cache)
        reference(right, turns, known, exact)
        queries = slice(on.shape.queries)
        written = slice(int(known), None)
        return (
            torch.cat([ours[:, queries].flatten(), cache[:, :, written].flatten()]),
            torch.cat([right[:, queries].flatten(), exact[:, :, written].flatten()]),
        )

    yield Case(
        "rotate_and_write",
        f"{on.batch} rows, {on.shape.queries}/{on.shape.keys} heads × {on.shape.dim}",
        nbytes=2 * heads.nbytes + on.batch * turns[0].nbytes,
        copies=len(caches),
        triton=lambda i: rotate_and_write(heads, turns, start, caches[i]),
        torch=lambda i: reference(heads, turns, known, caches[i]),
        check=check,
    )


def _start(on: Setting) -> tuple[Tensor, Tensor]:
    """The first row's position on the device, and on the host for a reference that reads it."""
    if on.seq < on.batch:
        raise ValueError(f"{on.batch} rows do not fit in {on.seq} positions.")
    known = torch.tensor([on.seq - on.batch], dtype=torch.int32)
    return known.to(on.device), known


def _heads(on: Setting) -> Tensor:
    return on.normal(on.batch, on.shape.queries + 2 * on.shape.keys, on.shape.dim)


def _turns(on: Setting) -> Tensor:
    frequencies = 1e6 ** -torch.linspace(0, 1, on.shape.dim // 2)
    angles = torch.arange(on.seq)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], dim=-1).to(on.device)


def _caches(on: Setting) -> list[Tensor]:
    shape = (2, on.shape.keys, on.seq, on.shape.dim)
    nbytes = torch.Size(shape).numel() * on.dtype.itemsize
    return [on.normal(*shape) for _ in range(on.copies(nbytes))]
