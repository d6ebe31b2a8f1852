"""The choice of the next token from a row of logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .case import SEED, Case, Setting

SPREAD = 3.0  # of logits, which makes some tokens much likelier than others
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "temperature": {"temperature": 0.8},
    "top_p": {"temperature": 0.8, "top_p": 0.9},
}

Pick = Callable[[], Tensor]


def pick_cases(on: Setting) -> Iterator[Case]:
    """The reference draws its noise on the host, so the torch that is timed is given some."""
    from ..reference.sampling import pick as reference
    from ..sampling import pick

    vocabulary = on.shape.vocabulary
    logits = on.normal(on.batch, vocabulary, spread=SPREAD).float()
    noise = torch.empty_like(logits, dtype=torch.float64).exponential_(generator=on.generator)
    known = torch.tensor([on.seq], dtype=torch.int32)
    positions = known.to(on.device)
    for name, settings in SETTINGS.items():
        ours = partial(pick, logits, seed=SEED, positions=positions, **settings)
        right = partial(reference, logits, seed=SEED, positions=known, **settings)
        theirs = partial(_pick, logits, noise, **settings)
        yield _case(f"pick {name}", logits, ours, theirs, right)


def _case(name: str, logits: Tensor, ours: Pick, theirs: Pick, right: Pick) -> Case:
    return Case(
        name,
        str(list(logits.shape)),
        nbytes=logits.nbytes,
        copies=1,
        triton=lambda _: ours(),
        torch=lambda _: theirs(),
        check=lambda: (ours(), right()),
        note="torch is given its noise",
    )


def _pick(logits: Tensor, noise: Tensor, temperature: float, top_p: float = 1.0) -> Tensor:
    """The first to arrive in a race, of those that together have the share `top_p`."""
    if temperature == 0:
        return logits.argmax(-1)
    if top_p < 1:
        shares, ids = logits.softmax(-1).sort(descending=True)
        beyond = shares.cumsum(-1) - shares >= top_p
        logits = logits.masked_fill(beyond.gather(-1, ids.argsort(-1)), -math.inf)
    return (noise.log() - logits / temperature).argmin(-1)
