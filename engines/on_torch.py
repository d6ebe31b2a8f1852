"""What all targets that compute with torch do alike."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .events import EngineError
from .pick import Logits
from .threads import usable_cpus


def prepare(device: str, threads: int | None) -> None:
    """Sets the threads; raises EngineError where there is no such device."""
    torch.set_num_threads(threads or usable_cpus())
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("torch finds no CUDA device on this machine.", "Use /device cpu.")


def on_host(rows: Tensor) -> Logits:
    """`rows` in float32 or wider, once the device has finished."""
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32)).cpu()
    if rows.is_cuda:
        torch.cuda.synchronize()  # a copy of no rows waits for nothing; callers read clocks
    array: Logits = wide.numpy()
    return array


class DeviceRows:
    """Logits that come to the host when one of them is looked at; see `choosing.Rows`."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows
        self._host: Logits | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Logits:
        if self._host is None:
            self._host = on_host(self._rows)
        chosen: Logits = self._host[row]
        return chosen


def no_rows(vocabulary: int) -> Logits:
    return np.empty((0, vocabulary), dtype=np.float32)
