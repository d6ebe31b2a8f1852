"""GGUF files, every count and length checked against the file before it is believed.

The `gguf` package's own reader never ends on an array longer than its file, so only its tables and
its dequantisation are used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

from .events import EngineError

MAX_ENTRIES = 1 << 16  # keys, or tensors
MAX_STRINGS = 1 << 20  # of one array; the largest vocabularies have a quarter of it
MAX_BYTES = 1 << 26  # of one string or array of numbers

_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


class Tensor(NamedTuple):
    kind: gguf.GGMLQuantizationType
    shape: tuple[int, ...]  # rows first, as numpy and torch have it
    offset: int  # of its first byte in the file
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class GGUFFile:
    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]

    def weights(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, exactly what its blocks stand for."""
        tensor = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(tensor.offset)
            raw = np.frombuffer(file.read(tensor.size), np.uint8)
        rows = raw.reshape(*tensor.shape[:-1], -1)
        try:
            values = gguf.dequantize(rows, tensor.kind)
        except NotImplementedError:
            raise broken(self.path, f"{name} is {tensor.kind.name}, which cannot be read") from None
        return values.astype(np.float32, copy=False).reshape(tensor.shape)

    @property
    def quantization(self) -> str:
        """The kind that holds most of the bytes."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.kind.name] = sizes.get(tensor.kind.name, 0) + tensor.size
        return max(sizes, key=lambda kind: sizes[kind])


def open_gguf(path: Path) -> GGUFFile:
    """Reads the header only. Raises EngineError on anything that is not a whole GGUF file."""
    if not path.is_file():  # a FIFO would never answer
        raise broken(path, "it is not a regular file")
    try:
        with path.open("rb") as file:
            return _read(_Header(file, path))
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error


def broken(path: Path, why: str) -> EngineError:
    return EngineError(
        f"{path.name} is not a usable GGUF file: {why}.", "Fetch it again, or choose another model."
    )


class _Header:
    """Reads forward, never past the end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.left = self.size = path.stat().st_size

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise broken(self.path, f"it is cut short or corrupt after {self.at} bytes")
        if size > MAX_BYTES:
            raise broken(self.path, f"a value at byte {self.at} claims {size} bytes")
        self.left -= size
        return self.file.read(size)

    @property
    def at(self) -> int:
        return self.size - self.left

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def count(self, code: str, most: int, what: str) -> int:
        value = int(self.number(code))
        if value > most:
            raise broken(self.path, f"it claims {value} {what}")
        return value

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array(self.number("I"))
        return self.number(self.code(kind))

    def array(self, kind: int) -> Any:
        if kind == _STRING:
            return [self.string() for _ in range(self.count("Q", MAX_STRINGS, "strings"))]
        each = np.dtype("<" + self.code(kind))
        return np.frombuffer(self.take(self.number("Q") * each.itemsize), each)

    def code(self, kind: int) -> str:
        if kind not in _NUMBERS:
            raise broken(self.path, f"a value at byte {self.at} has the unknown type {kind}")
        return _NUMBERS[kind]


def _read(header: _Header) -> GGUFFile:
    if header.size < 24 or header.take(4) != b"GGUF":
        raise broken(header.path, "it does not begin as one")
    version = header.number("I")
    if version not in (2, 3):
        raise broken(header.path, f"format version {version} is not 2 or 3")
    tensor_count = header.count("Q", MAX_ENTRIES, "tensors")
    key_count = header.count("Q", MAX_ENTRIES, "keys")
    metadata = {header.string(): header.value(header.number("I")) for _ in range(key_count)}
    infos = [_info(header) for _ in range(tensor_count)]
    if not infos:
        raise broken(header.path, "it holds no tensors")
    return GGUFFile(header.path, metadata, dict(_placed(header, metadata, infos)))


def _info(header: _Header) -> tuple[str, int, list[int], int]:
    name = header.string()
    dims = [header.number("Q") for _ in range(header.count("I", 4, f"dimensions of {name[:64]}"))]
    return name, header.number("I"), dims, header.number("Q")


def _placed(
    header: _Header, metadata: dict[str, Any], infos: list[tuple[str, int, list[int], int]]
) -> Iterator[tuple[str, Tensor]]:
    """The tensors with their absolute places, each whole and inside the file."""
    align = metadata.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(align, int) or not 0 < align <= MAX_BYTES:
        raise broken(header.path, f"it claims an alignment of {align}")
    start = -(-header.at // align) * align
    for name, kind, dims, offset in infos:
        try:
            block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise broken(header.path, f"{name} has the unknown type {kind}") from None
        if not dims or 0 in dims or dims[0] % block:
            raise broken(header.path, f"{name} has the impossible shape {dims}")
        size = prod(dims) // block * block_bytes
        if start + offset + size > header.size:
            raise broken(
                header.path,
                f"it is cut short, {name} would end at byte {start + offset + size} "
                f"of {header.size}",
            )
        shape = tuple(reversed(dims))
        yield name, Tensor(gguf.GGMLQuantizationType(kind), shape, start + offset, size)
