"""What every reader of a Hugging Face checkpoint folder needs; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .events import EngineError


def settings(file: Path) -> dict[str, Any]:
    """A JSON object of the checkpoint; empty where there is no such file."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EngineError(
            f"{file} is not valid JSON: {error}.", "Fetch the model again."
        ) from error
    if not isinstance(found, dict):
        raise EngineError(f"{file} holds no settings.", "Fetch the model again.")
    return found


def whole(folder: Path) -> bool:
    """Whether the folder holds a config, a tokenizer and every file of the weights."""
    index = folder / "model.safetensors.index.json"
    parts = settings(index).get("weight_map") if index.is_file() else {"": "model.safetensors"}
    names = parts.values() if isinstance(parts, dict) else ()
    needed = ["config.json", "tokenizer.json", *map(str, names)]
    return bool(names) and all((folder / each).is_file() for each in needed)
