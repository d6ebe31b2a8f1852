"""From the words a person types for a model to a checkpoint folder on this machine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import hub
from .cache import digest
from .convert import Converted, convert, convert_text
from .events import EngineError, Progress
from .finishing import finished
from .folder import settings, whole
from .gguf_path import EMBEDDED, expanded, gguf_path, is_gguf

Convert = Callable[[Path, str], Generator[Progress, None, Converted]]

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's checkpoint folder, and what its files say about it."""

    folder: Path  # config.json, tokenizer.json, safetensors; of a GGUF for llama.cpp the text only
    path: str  # the file or folder that was named
    name: str
    sha256: str  # of the GGUF, or of config, tokenizer and weights in that order
    architecture: str
    quantization: str  # of the file on disk; "none" where there is none
    context: int  # positions the model was trained for
    notes: tuple[str, ...] = ()


def resolve(model: str) -> Generator[Progress, None, ModelFiles]:
    """Finds, converts or downloads `model`: a name of EMBEDDED, a GGUF file, a checkpoint folder
    or a hub id. Raises EngineError."""
    if model in EMBEDDED:
        return (yield from _gguf(gguf_path(model), convert))
    path = expanded(model)
    try:
        if path.is_dir():
            return (yield from _folder(path, path.resolve().name))
        if path.exists() or path.suffix.lower() == ".gguf":
            return (yield from _gguf(path, convert))
        if _HUB_ID.fullmatch(model):
            return (yield from _folder((yield from hub.fetch(model)), model))
    except OSError as error:
        raise _unreadable(model, error) from error
    raise _unknown(model)


def resolve_gguf(model: str) -> Generator[Progress, None, ModelFiles]:
    """Finds `model`, a name of EMBEDDED or a GGUF file, for an engine that reads it as it is; only
    what the text needs is converted. Raises EngineError."""
    if not is_gguf(model):
        raise EngineError(
            f"llama.cpp runs GGUF files, and {model[:200]} is none.",
            "Name a .gguf file, or use /runtime auto.",
        )
    try:
        return (yield from _gguf(gguf_path(model), convert_text))
    except OSError as error:
        raise _unreadable(model, error) from error


def checkpoint(model: str) -> Path:
    """The checkpoint folder of `model`, its progress unseen."""
    return finished(resolve(model)).folder


def _gguf(path: Path, converting: Convert) -> Generator[Progress, None, ModelFiles]:
    if not path.exists():
        raise _missing(path)
    if not path.is_file():  # a FIFO would never answer
        raise EngineError(f"{path} is not a regular file.", "Name a .gguf file or a folder.")
    sha256 = yield from digest([path])
    folder, facts, note = yield from converting(path, sha256)
    config = settings(folder / "config.json")
    return ModelFiles(
        folder=folder,
        path=str(path),
        name=path.stem,  # what a person knows it by; general.name is seldom that
        sha256=sha256,
        architecture=config["model_type"],
        quantization=facts["quantization"],
        context=_positions(config),
        notes=(note,) if note else (),
    )


def _folder(folder: Path, name: str) -> Generator[Progress, None, ModelFiles]:
    if not whole(folder):
        raise EngineError(
            f"{folder} is not a whole model: it needs config.json, tokenizer.json and "
            "model.safetensors, or the parts that its index names.",
            "Name a checkpoint folder, or a .gguf file inside one.",
        )
    config = settings(folder / "config.json")
    text = config.get("text_config", config)  # models with images nest their language part
    weights = sorted(folder.glob("*.safetensors"))
    sha256 = yield from digest([folder / "config.json", folder / "tokenizer.json", *weights])
    return ModelFiles(
        folder=folder,
        path=str(folder),
        name=name,
        sha256=sha256,
        architecture=str(config.get("model_type", "unknown")),
        quantization=str((config.get("quantization_config") or {}).get("quant_method", "none")),
        context=_positions(text),
    )


def _positions(config: Mapping[str, Any]) -> int:
    """By any of the names that architectures have for it; 2048 where they tell none."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((int(config[name]) for name in names if config.get(name)), 2048)


def _unreadable(model: str, error: OSError) -> EngineError:
    return EngineError(f"{model[:200]} cannot be read: {error.strerror or error}.")


def _missing(path: Path) -> EngineError:
    beside = [each.name for each in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
    return EngineError(f"There is no file {path}.", _near(path.name, beside))


def _unknown(model: str) -> EngineError:
    return EngineError(
        f"There is no model {model[:200]}.",
        _near(model, [*EMBEDDED])
        + f" A model is {', '.join(EMBEDDED)}, a .gguf file, a checkpoint folder, or a hub id "
        "such as org/name.",
    )


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else ""
