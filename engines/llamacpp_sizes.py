"""What a GGUF will take in llama.cpp, told before anything is loaded."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from .gguf_file import GGUFFile, broken
from .gguf_model import read

PADDING = 256  # llama.cpp rounds the positions of a cache up to it
DEFAULT_KV = "f16"


def kv_bytes(file: GGUFFile, positions: int, kv_type: str) -> int:
    """Bytes of the keys and values that llama.cpp reserves for `positions`, by the sizes that the
    header gives; a running state, where a layer has one instead, is not among them."""
    kind = read(file, "general.architecture", str)
    layers = read(file, f"{kind}.block_count", int)
    heads = _per_layer(file, f"{kind}.attention.head_count", np.array([1]))
    shared = _per_layer(file, f"{kind}.attention.head_count_kv", heads)
    count = int(shared.sum()) * (layers if len(shared) == 1 else 1)
    each = read(file, f"{kind}.embedding_length", int) // max(1, int(heads.max()))
    head = sum(read(file, f"{kind}.attention.{of}_length", int, each) for of in ("key", "value"))
    if min(count, head) < 0:
        raise broken(file.path, "it claims a negative number of layers or heads")
    block, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type(kv_type)]
    padded = -(-positions // PADDING) * PADDING
    return int(padded * count * head * block_bytes // block)


def _per_layer(file: GGUFFile, key: str, default: NDArray[Any]) -> NDArray[Any]:
    """One number for all layers, or one for each."""
    found = np.atleast_1d(file.metadata.get(key, default))
    if not found.size or found.dtype.kind not in "iu":
        raise broken(file.path, f"{key} is of the wrong type")
    return found


def ggml_type(kv_type: str) -> gguf.GGMLQuantizationType:
    name = DEFAULT_KV if kv_type == "auto" else kv_type
    return gguf.GGMLQuantizationType[name.upper()]


def weight_bytes(file: GGUFFile) -> int:
    return sum(each.size for each in file.tensors.values())
