"""Where kernels can run: compiled on a GPU, or checked slowly in Triton's interpreter."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import NamedTuple

import torch

NO_TRITON = "Triton is not installed: pip install 'tokenhud[triton]'"
NO_GPU = "There is no CUDA device"
CHECK_ONLY = "a slow check only: Triton's interpreter on the CPU, small shapes, no timings"


class Place(NamedTuple):
    """`skipped` tells why kernels run nowhere here, empty where they do; without `compiled` no
    timing of them means anything."""

    device: str
    compiled: bool
    skipped: str = ""


def place() -> Place:
    gpu = torch.cuda.is_available()
    if find_spec("triton") is None:
        return Place("cuda" if gpu else "cpu", False, NO_TRITON)
    if os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes"):
        return Place("cpu", False)
    return Place("cuda", True) if gpu else Place("cpu", False, NO_GPU)
