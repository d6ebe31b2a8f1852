"""Quantised weights in transformers: what a checkpoint brings, and what it is asked to make."""

from __future__ import annotations

from typing import Any

import torch

from .events import EngineError
from .hf_library import library
from .nf4 import bitsandbytes, require_blocks

MADE = ("int8", "nf4")  # by bitsandbytes, while the weights load
ON_A_GPU = ("awq", "gptq", "fp8", "fbgemm_fp8", "compressed-tensors")  # as transformers names them


def require(name: str, method: str, quantize: str, device: str) -> None:
    """Raises EngineError where the checkpoint `name`, quantised by `method` or "", cannot be used
    on `device` or not be held as `quantize` says. Looks at no weights."""
    if method in ON_A_GPU and device == "cpu":
        raise EngineError(
            f"{name} is quantised with {method}, which computes on a GPU alone.",
            "Use /device cuda, or a model that is not quantised.",
        )
    if method and quantize != "none":
        raise EngineError(
            f"{name} is quantised already, with {method}, and cannot be held in {quantize} too.",
            "Use /quantize none.",
        )
    if quantize not in ("none", *MADE):
        raise EngineError(
            f"transformers cannot hold weights in {quantize} and compute in another format.",
            f"Use /quantize {' or '.join(MADE)}"
            + (", or /dtype bfloat16." if quantize == "bf16" else "."),
        )
    if method == "bitsandbytes" or quantize != "none":
        bitsandbytes()


def making(quantize: str, kind: torch.dtype) -> dict[str, Any]:
    """The options of a loading that makes such weights; products in `kind`."""
    if quantize == "none":
        return {}
    how: dict[str, Any] = {"load_in_8bit": True}
    if quantize == "nf4":
        how = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": kind,
        }
    return {"quantization_config": library().BitsAndBytesConfig(**how)}


def require_right(model: Any, device: str) -> None:
    """Raises EngineError where a loaded model has weights that would be multiplied wrongly."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            require_blocks(module.in_features, device)


def told(quantize: str, device: str) -> tuple[str, ...]:
    """What a person should know about weights that were made on loading."""
    if quantize == "none":
        return ()
    cost = ", which saves memory here and costs time" if device == "cpu" else ""
    notes = [f"bitsandbytes holds the weights in {quantize}{cost}."]
    if quantize == "int8":
        notes.append("Its int8 rounds a row by the others of its pass, so drafts can change words.")
    return tuple(notes)
