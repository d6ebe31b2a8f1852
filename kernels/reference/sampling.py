"""The choice of each next token by sorting whole rows, in plain torch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LEAST_NOISE = 2.0**-54


def pick(
    logits: Tensor,
    *,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    positions: Tensor,
    history: Tensor | None = None,
) -> Tensor:
    """The id chosen by each row of `logits` [n, vocab], int64 [n]; -1 where a row holds NaN or
    infinity. `positions` (int32 [1]) is how many ids of `history` stand before row 0, and before
    row i stand i more."""
    rows, start = logits.float(), int(positions)
    valid = rows.amax(1).isfinite()
    if repetition_penalty != 1 and history is not None:
        befores = [history[: start + i] for i in range(len(rows))]
        pairs = zip(rows, befores, strict=True)
        rows = torch.stack([_penalised(*pair, repetition_penalty) for pair in pairs])
    if temperature == 0:
        return rows.argmax(1).where(valid, -1)
    rows = _filtered(rows, top_k, top_p, min_p).double()
    noise = torch.stack([_noise(seed, start + i, rows.shape[1]) for i in range(len(rows))])
    behind = (rows.amax(1, keepdim=True) - rows) / temperature
    return (behind + noise.to(rows.device).log()).argmin(1).where(valid, -1)


def accepted(picks: Tensor, draft: Tensor) -> Tensor:
    """How many ids of `draft` [n - 1] the leading `picks` [n] equal, int32 [1]."""
    return (picks[:-1] == draft).int().cumprod(0).sum(0, keepdim=True, dtype=torch.int32)


def _penalised(row: Tensor, seen: Tensor, penalty: float) -> Tensor:
    ids = seen.long()
    worth = row[ids]
    return row.scatter(0, ids, torch.where(worth > 0, worth / penalty, worth * penalty))


def _filtered(rows: Tensor, top_k: int, top_p: float, min_p: float) -> Tensor:
    """Minus infinity for all that top-k, then top-p, then min-p leave out, at temperature 1."""
    ranked, order = rows.sort(dim=1, descending=True, stable=True)
    weights = (ranked.double() - ranked[:, :1].double()).exp()
    if top_k:
        weights[:, top_k:] = 0
    mass = weights.cumsum(1)
    stays = weights > 0
    if top_p < 1:
        crossing = (mass < top_p * mass[:, -1:]).sum(1, keepdim=True)
        stays &= torch.arange(rows.shape[1], device=rows.device) <= crossing
    if min_p:
        stays &= ranked >= (ranked[:, :1].double() + math.log(min_p)).float()
    return rows.where(torch.zeros_like(stays).scatter(1, order, stays), -math.inf)


def _noise(seed: int, position: int, vocabulary: int) -> Tensor:
    bits = np.random.Philox(key=seed, counter=position << 64)
    uniforms = torch.from_numpy(np.random.Generator(bits).random(vocabulary))
    return (-(1 - uniforms).log()).clamp(min=LEAST_NOISE)
