"""Which of our kernels a model's passes use: each is tried on its own weights when it is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..kernels import linear as kernels
from ..kernels.attention import attention
from ..kernels.launch import Sums, Workspace
from ..kernels.reference import linear as reference
from .kv_cache import KvCache
from .llama import Llama

Operation = Callable[..., Tensor]
WRONG = 0.02  # of the result's size; bfloat16 products differ by 0.003


class Operations(NamedTuple):
    """What computes each part of a pass; see the wrappers of the same names in kernels/."""

    linear: Operation
    norm_linear: Operation
    norm_gate_up: Operation
    norm_sums: Callable[..., Sums] | None  # in place of norm_linear before attention
    attention: Operation = attention


def choose_operations(
    model: Llama, cache: KvCache, workspace: Workspace
) -> tuple[Operations, tuple[str, ...]]:
    """Our kernels, or torch where one fails on this device or is wrong, with the reasons."""
    layer, config = model.layers[0], model.config
    eps = config.rms_norm_eps
    generator = torch.Generator(cache.values.device).manual_seed(0)

    def rows(width: int) -> Tensor:
        values = cache.values
        return torch.randn(2, width, dtype=values.dtype, device=values.device, generator=generator)

    x, gated = rows(config.hidden_size), rows(config.intermediate_size)
    down, qkv = layer.down, layer.qkv
    shared = {"workspace": workspace}
    tries: dict[str, Callable[[Operation], Tensor]] = {
        "linear": lambda do: do(gated, down.weight, down.bias, x, **shared),
        "norm_linear": lambda do: do(x, layer.attention_norm, eps, qkv.weight, qkv.bias, **shared),
        "norm_gate_up": lambda do: do(x, layer.mlp_norm, eps, layer.gate_up.weight),
    }
    chosen: dict[str, Operation] = {}
    problems: dict[str, str] = {}
    for name, attempt in tries.items():
        kernel, plain = getattr(kernels, name), _without(getattr(reference, name))
        problem = _problem(kernel, plain, attempt)
        chosen[name] = plain if problem else kernel
        if problem:
            problems[name] = problem
    notes = (f"torch computes {name}: {problem}." for name, problem in problems.items())
    sums = None if "norm_linear" in problems or not _summed(qkv.weight, x) else kernels.norm_sums
    return Operations(**chosen, norm_sums=sums), tuple(notes)


def _summed(weight: object, x: Tensor) -> bool:
    """float16 has no room for rows before they are normed, and narrow weights a kernel apart."""
    return isinstance(weight, Tensor) and x.dtype != torch.float16


def _without(plain: Operation) -> Operation:
    """torch needs no workspace, and writes where it likes."""

    def run(*arguments: Any, out: Tensor | None = None, **_: Any) -> Tensor:
        product = plain(*arguments)
        return product if out is None else out.copy_(product)

    return run


def _problem(kernel: Operation, plain: Operation, attempt: Callable[[Operation], Tensor]) -> str:
    """Why the kernel cannot be used here; empty where it can."""
    try:
        found = attempt(kernel)
    except Exception as error:  # whatever a compiler or driver raises is a reason to do without
        lines = str(error).strip().splitlines() or ["no message"]
        return f"its kernel fails here ({type(error).__name__}: {lines[0][:200]})"
    right = attempt(plain).double()
    wrong = float((found.double() - right).norm() / right.norm())
    return "" if wrong < WRONG else f"its kernel is wrong here by {wrong:.1%}"
