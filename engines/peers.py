"""The engines that `tokenhud bench peers` sets side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .catalog import checkpoint
from .opening import open_model
from .options import Spec
from .parts import Parts
from .rounds import Run, target_run, transformers_run


def _native(spec: Spec) -> Run:
    return _opened(replace(spec, target="native"))


def _transformers(spec: Spec) -> Run:
    return transformers_run(checkpoint(spec.model), spec.dtype, spec.device)


def _opened(spec: Spec) -> Run:
    opening = open_model(spec)
    while True:
        try:
            next(opening)
        except StopIteration as done:
            parts: Parts = done.value
            return target_run(parts.target)


REACHABLE: dict[str, Callable[[Spec], Run]] = {
    "native": _native,
    "transformers": _transformers,
}
