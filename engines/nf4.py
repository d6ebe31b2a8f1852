"""bitsandbytes: 4-bit weights that save memory, and the checkpoints of other programs."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from .events import EngineError
from .hf_library import first_line, silence

INSTALL = "Run: pip install 'tokenhud[bnb]'"
BLOCK = 64  # weights that share a scale


def bitsandbytes() -> Any:
    """The package. Raises EngineError where it is missing or cannot be used."""
    try:
        with silence():
            import bitsandbytes as package
    except Exception as error:  # a library of its own may be missing or unfit
        absent = isinstance(error, ImportError) and error.name == "bitsandbytes"
        why = "is not installed" if absent else f"cannot be used: {first_line(error)}"
        raise EngineError(f"These weights need bitsandbytes, which {why}.", INSTALL) from error
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at every product
    return package


def require_blocks(inner: int, device: str) -> None:
    """Its CPU code reads rows of no whole number of blocks wrongly, and says nothing (0.50)."""
    if device == "cpu" and inner % BLOCK:
        raise EngineError(
            f"On a CPU nf4 needs rows of a multiple of {BLOCK} weights, and this model has some "
            f"of {inner}.",
            "Use /quantize int8.",
        )


class Nf4:
    """Sixteen levels as normal weights need them, a scale for each block."""

    weight = None

    def __init__(self, weight: Tensor) -> None:
        require_blocks(weight.shape[1], weight.device.type)
        library = bitsandbytes()
        wide = weight.float() if weight.dtype == torch.float64 else weight  # which it knows not
        self._multiply = library.matmul_4bit
        held, self._state = library.functional.quantize_4bit(
            wide, blocksize=BLOCK, quant_type="nf4"
        )
        self._held = held.t()
        self.nbytes = held.nbytes + self._state.absmax.nbytes

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.to(self._state.dtype)
        product: Tensor = self._multiply(rows, self._held, quant_state=self._state).to(x.dtype)
        return product if bias is None else product.add_(bias)
