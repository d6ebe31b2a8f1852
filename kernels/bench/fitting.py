"""A smaller try where a device's memory does not hold what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch

Result = TypeVar("Result")


class Size(NamedTuple):
    batch: int
    seq: int

    def __str__(self) -> str:
        return f"batch {self.batch}, sequence {self.seq}"


def fitting(run: Callable[[Size], Result], asked: Size) -> tuple[Result, Size]:
    """run(asked), or of the first halving of it that fits: the batch first, then the sequence.
    Raises torch.OutOfMemoryError where nothing does."""
    size = asked
    while True:
        try:
            return run(size), size
        except torch.OutOfMemoryError:
            if size == Size(1, 1):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # here: the error no longer holds what the try had allocated
        size = Size(size.batch // 2, size.seq) if size.batch > 1 else Size(1, size.seq // 2)


def told(asked: Size, held: Size) -> str:
    """What to say of it; nothing where all fitted."""
    return "" if held == asked else f"out of memory at {asked}; measured at {held}"
