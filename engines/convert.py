"""A GGUF becomes a complete Hugging Face checkpoint folder, once; later loads find it there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import filelock
from tokenizers import Tokenizer

from . import gguf_model, gguf_tokenizer, gguf_transformers
from .cache import cache_folder, locked, progress, require_space, writable
from .events import EngineError, Progress
from .gguf_file import GGUFFile, open_gguf
from .gguf_model import Weight

VERSION = 1  # of what is written; a new one makes old folders unused
MARGIN = 1 << 26  # bytes for the tokenizer and the file system's own needs
FACTS = "tokenhud.json"  # what the checkpoint's other files cannot say about the GGUF


Write = Callable[[GGUFFile, Path], Generator[Progress, None, None]]


class Converted(NamedTuple):
    folder: Path
    facts: dict[str, Any]  # name, quantization
    note: str  # a sentence where the cache could not be used


def convert(path: Path, sha256: str) -> Generator[Progress, None, Converted]:
    """The checkpoint folder of the GGUF at `path`, whose bytes have that hash."""
    return (yield from _kept(path, f"gguf-{sha256}-{VERSION}", _write))


def convert_text(path: Path, sha256: str) -> Generator[Progress, None, Converted]:
    """A folder without weights, for an engine that reads the GGUF itself; without tokenizer.json
    too where ours cannot be made from what the file describes."""
    return (yield from _kept(path, f"gguf-text-{sha256}-{VERSION}", _write_text_alone))


def _kept(path: Path, name: str, write: Write) -> Generator[Progress, None, Converted]:
    """The folder `name` of the cache, made by `write` where it is not there yet."""
    cached, note = cache_folder(), ""
    if not _whole(cached / name):
        cached, note = writable(cached)
        yield from _build(path, cached / name, write)
    facts = json.loads((cached / name / FACTS).read_text("utf-8"))
    return Converted(cached / name, facts, note)


def _whole(folder: Path) -> bool:
    """A folder gets its name when all of it is written, and this file is written last."""
    return (folder / FACTS).is_file()


def _build(path: Path, folder: Path, write: Write) -> Generator[Progress, None, None]:
    file = open_gguf(path)  # a broken file is refused before anything is made
    lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"), thread_local=False)
    try:
        yield from locked(lock, "converting the model")
        if not _whole(folder):
            yield from _write_whole(file, folder, write)
    except OSError as error:
        raise EngineError(
            f"The converted model could not be written to {folder.parent}: {error.strerror}.",
            "Make room, or name another folder in TOKENHUD_CACHE.",
        ) from error
    finally:
        lock.release()


def _write_whole(file: GGUFFile, folder: Path, write: Write) -> Generator[Progress, None, None]:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed: the lock is ours
    shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir()
    try:
        yield from write(file, partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(file: GGUFFile, folder: Path) -> Generator[Progress, None, None]:
    tokenizer = gguf_tokenizer.tokenizer(file)  # first: a refusal should come early
    ours = gguf_model.read(file, "general.architecture", str) in gguf_model.ARCHITECTURES
    yield from (_write_model if ours else _write_foreign)(file, folder)
    _write_text(file, folder, tokenizer)


def _write_text_alone(file: GGUFFile, folder: Path) -> Generator[Progress, None, None]:
    yield progress("Converting the tokenizer", 0, 0)
    kind = gguf_model.read(file, "general.architecture", str)
    context = gguf_model.read(file, f"{kind}.context_length", int, 0)
    about = {"model_type": kind, "max_position_embeddings": context}
    _write_json(folder / "config.json", about)
    try:
        _write_text(file, folder, gguf_tokenizer.tokenizer(file))
    except EngineError as error:
        if error.remedy != gguf_tokenizer.ELSEWHERE:
            raise
        _write_text(file, folder, None)


def _write_text(file: GGUFFile, folder: Path, tokenizer: Tokenizer | None) -> None:
    """What messages and ids are made with, and last the facts, which make a folder whole."""
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    _write_json(folder / "tokenizer_config.json", gguf_tokenizer.tokenizer_config(file))
    stops = {
        "bos_token_id": gguf_model.read(file, "tokenizer.ggml.bos_token_id", int, None),
        "eos_token_id": gguf_model.stop_ids(file) or None,
    }
    _write_json(folder / "generation_config.json", stops)
    name = gguf_model.read(file, "general.name", str, "") or file.path.stem
    _write_json(folder / FACTS, {"name": name, "quantization": file.quantization})


def _write_model(file: GGUFFile, folder: Path) -> Generator[Progress, None, None]:
    config = gguf_model.config(file)
    weights = gguf_model.weights(file, config)
    require_space(folder.parent, 4 * _count(weights) + MARGIN, "Converting the model")
    yield from _write_weights(file, weights, folder / "model.safetensors")
    _write_json(folder / "config.json", config)


def _write_foreign(file: GGUFFile, folder: Path) -> Generator[Progress, None, None]:
    require_space(folder.parent, gguf_transformers.size(file) + MARGIN, "Converting the model")
    yield from gguf_transformers.write(file, folder)


def _write_weights(
    file: GGUFFile, weights: Sequence[Weight], path: Path
) -> Generator[Progress, None, None]:
    """A safetensors file, one tensor in memory at a time; the library's own writer wants all."""
    done, total = 0, 4 * _count(weights)
    with path.open("wb") as out:
        out.write(_header(weights))
        for each in weights:
            values = gguf_model.restored(file.weights(each.source), each.heads)
            done += out.write(values.astype("<f4", copy=False).data)
            yield progress("Converting", done, total)
        out.flush()
        os.fsync(out.fileno())  # or a power cut could leave a whole name on half a file


def _header(weights: Sequence[Weight]) -> bytes:
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    head |= {each.name: entry for each, entry in zip(weights, _entries(weights), strict=True)}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _entries(weights: Sequence[Weight]) -> Iterator[dict[str, Any]]:
    end = 0
    for each in weights:
        begin, end = end, end + 4 * prod(each.shape)
        yield {"dtype": "F32", "shape": each.shape, "data_offsets": [begin, end]}


def _count(weights: Sequence[Weight]) -> int:
    return sum(prod(each.shape) for each in weights)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), "utf-8")
