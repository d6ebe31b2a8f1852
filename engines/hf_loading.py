"""A checkpoint folder becomes a model of transformers, or a sentence that says why not."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from .cgroup import free_memory
from .events import EngineError
from .hf_library import first_line, library, silence, unfilled
from .hf_quantised import making, require, require_right
from .options import DEFAULT_CONTEXT

ROTARY = ("rope_parameters", "rope_theta", "rope_scaling")  # in a config: positions may go on


class Checkpoint:
    """A folder whose config transformers knows. Raises EngineError where it does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = _config(folder)
        self._text: Any = self._config.get_text_config(decoder=True)
        self._refuse()

    @property
    def vocabulary(self) -> int:
        return int(self._text.vocab_size)

    def positions(self, asked: int | None) -> int:
        """The context to use. Learned positions end where they end; rotary ones go on."""
        known = getattr(self._text, "max_position_embeddings", None) or 0
        if asked is None:
            return min(known, DEFAULT_CONTEXT) if known > 0 else DEFAULT_CONTEXT
        rotary = any(getattr(self._text, key, None) for key in ROTARY)
        if 0 < known < asked and not rotary:
            raise EngineError(
                f"{self.folder.name} has {known} positions, not {asked}.",
                f"Use /context {known} or less.",
            )
        return asked

    def load(self, kind: torch.dtype, device: str, quantize: str = "none") -> Any:
        """The model with its weights, all of them, on `device`, held as `quantize` says."""
        require(self.folder.name, self._quantised, quantize, device)
        self._require_memory(kind, device, quantize)
        placing = bool(self._quantised) or quantize != "none"
        try:
            with silence():
                model, info = library().AutoModelForCausalLM.from_pretrained(
                    self.folder,
                    config=self._config,
                    dtype=kind,
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **({"device_map": device} if placing else {}),
                    **making(quantize, kind),
                )
                placed = model if placing else model.to(device)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # of any library that a kind of checkpoint may need
            raise self._unusable(error) from error
        if wrong := unfilled(info):
            raise EngineError(f"{self.folder} {wrong}.", "Download the model again.")
        require_right(placed, device)
        return placed.eval()

    def too_large(self, device: str) -> EngineError:
        return EngineError(
            f"The weights of {self.folder.name} do not fit into the memory of {device}.",
            "Use a smaller model, /dtype bfloat16, /quantize nf4 or /device cpu.",
        )

    @property
    def _quantised(self) -> str:
        found = getattr(self._config, "quantization_config", None) or {}
        return str(dict(found).get("quant_method", "")) if isinstance(found, dict) else "unknown"

    def _refuse(self) -> None:
        kind = self._config.model_type
        if self._config.is_encoder_decoder:
            raise EngineError(
                f"{self.folder.name} is an encoder-decoder model ({kind}), not a causal one.",
                "Choose a causal language model.",
            )
        if type(self._config) not in library().MODEL_FOR_CAUSAL_LM_MAPPING:
            raise EngineError(
                f"transformers has no causal language model of the type {kind}.",
                "Choose another model.",
            )

    def _require_memory(self, kind: torch.dtype, device: str, quantize: str) -> None:
        files = sorted(self.folder.glob("*.safetensors"))
        needed = (
            sum(each.stat().st_size for each in files)
            if self._quantised
            else sum(map(_elements, files)) * _smallest(kind, quantize)
        )
        if needed > _free(device):
            raise self.too_large(device)

    def _unusable(self, error: Exception) -> EngineError:
        if self._quantised and isinstance(error, (ImportError, RuntimeError, ValueError)):
            return EngineError(
                f"{self.folder.name} is quantised with {self._quantised}, which cannot be used "
                f"here: {first_line(error)}.",
                "Install what it names, or use a model that is not quantised.",
            )
        return EngineError(
            f"transformers cannot load {self.folder.name}: {first_line(error)}.",
            "Choose another model, or download this one again.",
        )


def _config(folder: Path) -> Any:
    try:
        with silence():
            return library().AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except EngineError:
        raise
    except Exception as error:  # a type it does not know, or code of the model's own
        raise EngineError(
            f"transformers {library().__version__} cannot run {folder.name}: {first_line(error)}.",
            "Choose another model, or a newer transformers.",
        ) from error


def _smallest(kind: torch.dtype, quantize: str) -> float:
    """Bytes of a weight at the least."""
    return {"int8": 1, "nf4": 0.5}.get(quantize, kind.itemsize)


def _elements(file: Path) -> int:
    try:
        with safe_open(file, framework="pt") as opened:
            return sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise EngineError(
            f"{file} cannot be read: {first_line(error)}.", "Download the model again."
        ) from error


def _free(device: str) -> float:
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    return free_memory()
