"""The models that lie on this machine where people keep them. Reads headers alone, and bounded: a
home may hold anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from .events import EngineError
from .folder import settings, whole
from .gguf_path import EMBEDDED, gguf_path

FOUND = 50  # models at most
ENTRIES = 4000  # of one place
HEADER = 1 << 25  # bytes of a safetensors header


class Place(NamedTuple):
    folder: Path
    depth: int  # folders below it that are looked into


class ModelHere(NamedTuple):
    model: str  # what /model takes
    name: str
    kind: str  # "GGUF Q4_1", "checkpoint"
    size: int  # bytes of its weights
    parameters: int | None
    gguf: bool


def models_here(places: Sequence[Place] | None = None) -> Iterator[ModelHere]:
    """The included ones first. What cannot be read is left out: /model tells why."""
    seen: set[Path] = set()
    for model, path in _files(usual_places() if places is None else places):
        try:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield _checkpoint(model, path) if path.is_dir() else _gguf(model, path)
        except (EngineError, OSError, ValueError, RecursionError):
            continue
        if len(seen) >= FOUND:
            return


def usual_places() -> list[Place]:
    """The folder of this process, ~/models, and the caches of the hub, llama.cpp and LM Studio."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home() raises where there is none
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    hub = os.environ.get("HF_HUB_CACHE")
    hub = hub or str(Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub")
    return [
        Place(Path.cwd(), 1),
        Place(home / "models", 3),
        Place(Path(hub), 3),
        Place(cache / "llama.cpp", 1),
        Place(home / ".lmstudio" / "models", 3),
    ]


def _files(places: Sequence[Place]) -> Iterator[tuple[str, Path]]:
    """What /model takes, and the GGUF file or checkpoint folder that it means."""
    for name in EMBEDDED:
        with suppress(EngineError):
            yield name, gguf_path(name)
    for place in places:
        for path in _walk(place):
            yield _said(path), path


def _walk(place: Place) -> Iterator[Path]:
    """Breadth first, so that what lies near the top is found before the bound is met."""
    waiting, left = [place], ENTRIES
    while waiting and left > 0:
        folder, depth = waiting.pop(0)
        for entry in _entries(folder)[:left]:
            left -= 1
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting += [Place(Path(entry.path), depth - 1)] if depth else []
            elif entry.name == "config.json" and _is_whole(folder):
                yield folder
            elif entry.name.lower().endswith(".gguf") and entry.is_file():
                yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda each: each.name)
    except OSError:
        return []


def _is_whole(folder: Path) -> bool:
    try:
        return whole(folder)
    except (EngineError, OSError, ValueError):
        return False


def _said(path: Path) -> str:
    """Of a snapshot in the hub's cache its id, which is what its own library calls it."""
    holder = path.parent.parent
    if path.parent.name == "snapshots" and holder.name.startswith("models--"):
        return holder.name.removeprefix("models--").replace("--", "/")
    return str(path)


def _gguf(model: str, path: Path) -> ModelHere:
    from .gguf_file import open_gguf  # here: it takes numpy and the tables of gguf

    found = open_gguf(path)
    parameters = sum(prod(each.shape) for each in found.tensors.values())
    size = sum(each.size for each in found.tensors.values())
    return ModelHere(model, path.stem, f"GGUF {found.quantization}", size, parameters, True)


def _checkpoint(model: str, folder: Path) -> ModelHere:
    files = sorted(folder.glob("*.safetensors"))
    packed = "quantization_config" in settings(folder / "config.json")  # shapes tell bytes then
    parameters = None if packed else sum(map(_parameters, files))
    size = sum(each.stat().st_size for each in files)
    name = folder.name if model == str(folder) else model
    return ModelHere(model, name, "checkpoint", size, parameters, False)


def _parameters(file: Path) -> int:
    """By the shapes in the header of a safetensors file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > HEADER:
            raise ValueError(f"a header of {length} bytes")
        header: dict[str, Any] = json.loads(opened.read(length))
    return sum(prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
