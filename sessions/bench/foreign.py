"""A result in the files that other tools write, for their comparers to read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...engines.events import EngineError
from ..clean import one_line
from ..writing import write_new_bytes
from .inference_doctor import inference_doctor
from .llama_bench import llama_bench
from .result import Result
from .vllm_bench import vllm_bench

Files = Iterator[tuple[str, Any]]  # a path in the folder, and what is written there as JSON


def write_foreign(result: Result, form: str, folder: Path) -> list[Path]:
    """Files of one of FOREIGN in `folder`, over nothing that is there. Raises EngineError where
    they can't be written, or the form has no place for what was measured."""
    found = [
        write_new_bytes(folder / name, f"{json.dumps(content, indent=2)}\n".encode())
        for name, content in FOREIGN[form](result)
    ]
    if not found:
        raise EngineError(
            f"{one_line(result.name)} holds nothing that {form} has a place for.",
            "Its files need answers that came to their end.",
        )
    return found


def _llama_bench(result: Result) -> Files:
    if tests := llama_bench(result):
        yield "llama-bench.json", tests


def _vllm(result: Result) -> Files:
    for method, name in _names(result).items():
        yield f"{name}.json", vllm_bench(result, method)


def _inference_doctor(result: Result) -> Files:
    """A folder for each method, since its comparer takes two."""
    for method, folder in _names(result).items():
        for name, repetition in inference_doctor(result, method):
            yield f"{folder}/{name}", repetition


def _names(result: Result) -> dict[str, str]:
    """Of files, for the methods that measured something; a method may be called anything."""
    measured = {each.method for each in result.measured}
    found: dict[str, str] = {}
    for number, method in enumerate(result.methods, start=1):
        if method in measured:
            name = re.sub(r"[^A-Za-z0-9=]+", "-", method).strip("-")[:60] or f"method-{number}"
            found[method] = name if name not in found.values() else f"{name}-{number}"
    return found


FOREIGN: Mapping[str, Callable[[Result], Files]] = {
    "llama-bench": _llama_bench,
    "vllm": _vllm,
    "inference-doctor": _inference_doctor,
}
