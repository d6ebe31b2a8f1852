"""Picks that are under way on a device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .events import EngineError
from .options import Sampling
from .pick import INVALID


class Flight:
    """Ids that a device will have picked by `sampling`, on their way to the host."""

    def __init__(self, ids: Tensor, sampling: Sampling) -> None:
        self.ids = ids
        self.sampling = sampling
        # Where the pass was begun before its token was known: its layers, and the token's place
        # and id as they turned out.
        self.after: tuple[int, int, int] | None = None
        self._host = torch.empty(ids.shape, dtype=ids.dtype, pin_memory=ids.is_cuda)
        self._host.copy_(ids, non_blocking=True)
        self._landed: torch.cuda.Event | None = None
        if ids.is_cuda:
            self._landed = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._landed.record()

    def land(self) -> list[int]:
        """The ids, once they are there; what was sent to the device later may still run. An id
        is negative where the logits held no usable number."""
        if self._landed:
            self._landed.synchronize()
        ids: list[int] = self._host.tolist()
        return ids


def valid(ids: list[int]) -> Iterator[int]:
    """Raises EngineError at the first id that stands for numbers that are none."""
    for each in ids:
        if each < 0:
            raise EngineError(*INVALID)
        yield each
