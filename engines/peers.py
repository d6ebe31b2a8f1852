"""The engines that `tokenhud bench peers` sets side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .catalog import checkpoint
from .finishing import finished
from .opening import open_model
from .options import Spec
from .rounds import Run, target_run, transformers_run


def _target(**changes: Any) -> Callable[[Spec], Run]:
    def run(spec: Spec) -> Run:
        return target_run(finished(open_model(replace(spec, **changes))).target)

    return run


def _bare(spec: Spec) -> Run:
    from .llamacpp_bench import bare_run  # here: without llama.cpp the others must run

    return bare_run(replace(spec, target="llamacpp", quantize="none"))


def _transformers(**settings: Any) -> Callable[[Spec], Run]:
    def run(spec: Spec) -> Run:
        return transformers_run(checkpoint(spec.model), spec.dtype, spec.device, **settings)

    return run


REACHABLE: dict[str, Callable[[Spec], Run]] = {
    "native": _target(target="native", quantize="none"),
    "native bf16": _target(target="native", quantize="bf16"),
    "native int8": _target(target="native", quantize="int8"),
    "native int4": _target(target="native", quantize="int4"),
    "llama.cpp": _target(target="llamacpp", quantize="none"),
    "llama.cpp, bare loop": _bare,
    "transformers": _transformers(),
    "transformers, prompt lookup": _transformers(prompt_lookup_num_tokens=10),
}
