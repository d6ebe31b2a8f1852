"""A GGUF of an architecture that our own converter does not know, read by transformers."""

from __future__ import annotations

import json
from collections.abc import Generator
from math import prod
from pathlib import Path
from typing import Any

from .cache import progress
from .events import EngineError, Progress
from .gguf_file import GGUFFile, broken
from .gguf_model import read


def write(file: GGUFFile, folder: Path) -> Generator[Progress, None, None]:
    """config.json and the weights. Raises EngineError where transformers cannot, or would leave
    out what changes the text."""
    kind = read(file, "general.architecture", str)
    _require_known(file, kind)
    yield progress(f"Converting a {kind[:64]} model through transformers", 0, 0)
    model = _load(file, kind)
    rope = getattr(model.config, "rope_parameters", None)
    scaling = read(file, f"{kind}.rope.scaling.type", str, "none")
    if scaling != "none" and "factor" not in json.dumps(rope):
        raise _unusable(file, kind, f"its reader drops the RoPE scaling {scaling[:64]}")
    yield progress("Writing the converted model", 0, 0)
    model.save_pretrained(folder)


def elements(file: GGUFFile) -> int:
    return sum(prod(each.shape) for each in file.tensors.values())


def _require_known(file: GGUFFile, kind: str) -> None:
    blocks = read(file, f"{kind}.block_count", int)
    if not 0 < blocks <= len(file.tensors):  # before anything is made for each of them
        raise broken(file.path, f"{kind[:64]}.block_count is {blocks}")
    rope = [name for name in file.tensors if name.startswith("rope_")]
    if rope:
        raise _unusable(file, kind, f"its reader drops the weights {rope[0][:64]}")


def _load(file: GGUFFile, kind: str) -> Any:
    import torch

    from .hf_library import first_line, library, silence

    auto = library().AutoModelForCausalLM
    try:
        with silence():
            model, info = auto.from_pretrained(
                file.path.parent,
                gguf_file=file.path.name,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # of whatever its reader, or the architecture's code, trips over
        raise _unusable(file, kind, first_line(error)) from error
    absent = sorted(map(str, {*info["missing_keys"], *info["mismatched_keys"]}))
    if absent:
        raise _unusable(file, kind, f"it lacks the weights {absent[0]}")
    model.hf_quantizer = None  # what is saved is not quantised any more
    del model.config.quantization_config
    return model


def _unusable(file: GGUFFile, kind: str, why: str) -> EngineError:
    return EngineError(
        f"{file.path.name} holds a {kind[:64]} model, which transformers cannot convert: {why}.",
        "Use the model's Hugging Face folder, or the llama.cpp engine.",
    )
