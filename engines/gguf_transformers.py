"""A GGUF of an architecture that our own converter does not know, read by transformers."""

from __future__ import annotations

import json
from collections.abc import Generator
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np

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
    bare = folder / "bare.gguf"
    _write_bare(file, kind, bare)
    model = _load(file, kind, bare)
    bare.unlink()
    rope = getattr(model.config, "rope_parameters", None)
    scaling = read(file, f"{kind}.rope.scaling.type", str, "none")
    if scaling != "none" and "factor" not in json.dumps(rope):
        raise _unusable(file, kind, f"its reader drops the RoPE scaling {scaling[:64]}")
    yield progress("Writing the converted model", 0, 0)
    model.save_pretrained(folder)


def size(file: GGUFFile) -> int:
    """Bytes on the disk that `write` needs for the weights, its own copy of the file included."""
    return sum(4 * prod(each.shape) + each.size for each in file.tensors.values())


def _require_known(file: GGUFFile, kind: str) -> None:
    blocks = read(file, f"{kind}.block_count", int)
    if not 0 < blocks <= len(file.tensors):  # before anything is made for each of them
        raise broken(file.path, f"{kind[:64]}.block_count is {blocks}")
    if "token_embd.weight" not in file.tensors:
        raise broken(file.path, "the weights token_embd.weight are missing")
    rope = [name for name in file.tensors if name.startswith("rope_")]
    if rope:
        raise _unusable(file, kind, f"its reader drops the weights {rope[0][:64]}")


def _write_bare(file: GGUFFile, kind: str, path: Path) -> None:
    """The same model without the lists of its tokenizer: transformers' reader walks each of their
    entries twice, which takes it half a minute for a vocabulary of 262144."""
    out = gguf.GGUFWriter(path, kind)
    for key, value in file.metadata.items():
        values = value.tolist() if isinstance(value, np.ndarray) else value
        lists = isinstance(values, list)
        if key == "general.architecture" or (
            lists and (key.startswith("tokenizer.") or not values)
        ):
            continue
        one = _type(values[0] if lists else values)
        out.add_key_value(key, values, *((_ARRAY, one) if lists else (one, None)))
    for name, each in file.tensors.items():
        rows = (*each.shape[:-1], each.size // prod(each.shape[:-1]))
        raw = np.memmap(file.path, np.uint8, "r", each.offset, rows)
        out.add_tensor(name, raw, raw_dtype=each.kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


_ARRAY = gguf.GGUFValueType.ARRAY
_KINDS: dict[type, gguf.GGUFValueType] = {
    bool: gguf.GGUFValueType.BOOL,
    float: gguf.GGUFValueType.FLOAT64,
}


def _type(value: object) -> gguf.GGUFValueType:
    """Wide enough for what a GGUF of any other width says."""
    if type(value) is int:
        return gguf.GGUFValueType.INT64 if value < 1 << 63 else gguf.GGUFValueType.UINT64
    return _KINDS.get(type(value), gguf.GGUFValueType.STRING)


def _load(file: GGUFFile, kind: str, bare: Path) -> Any:
    import torch

    from .hf_library import first_line, library, silence, unfilled

    auto = library().AutoModelForCausalLM
    try:
        with silence():
            model, info = auto.from_pretrained(
                bare.parent,
                gguf_file=bare.name,
                vocab_size=file.tensors["token_embd.weight"].shape[0],
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # of whatever its reader, or the architecture's code, trips over
        raise _unusable(file, kind, first_line(error)) from error
    if wrong := unfilled(info):
        raise _unusable(file, kind, f"it {wrong}")
    model.hf_quantizer = None  # what is saved is not quantised any more
    del model.config.quantization_config
    return model


def _unusable(file: GGUFFile, kind: str, why: str) -> EngineError:
    return EngineError(
        f"{file.path.name} holds a {kind[:64]} model, which transformers cannot convert: {why}.",
        "Use /llama with this file, or the model's Hugging Face folder.",
    )
