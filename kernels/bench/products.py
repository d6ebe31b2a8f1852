"""Products with weights: what streams them is measured on weights that no cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from .case import Case, Setting

EPS = 1e-6
SPREAD = 0.02  # of weights
GROUPS = (128, 32)  # of int4, where a row has a pair of the first

Arguments = Callable[[Any], tuple[Any, ...]]  # those of a kernel, of its weight


def linear_cases(on: Setting) -> Iterator[Case]:
    from ..launch import Workspace
    from ..linear import linear
    from ..reference.linear import linear as reference

    ours = partial(linear, workspace=Workspace.on(on.device))
    hidden, vocabulary = on.shape.hidden, on.shape.vocabulary
    residual = on.normal(on.batch, hidden)
    for name, inner in (("out", on.shape.queries * on.shape.dim), ("down", on.shape.intermediate)):
        args = _added(on.normal(on.batch, inner), residual)
        yield _product(f"linear {name}", on, _weights(on, hidden, inner), args, ours, reference)
    x = on.normal(on.batch, hidden)
    weights = _weights(on, vocabulary, hidden)
    yield _product("linear head", on, weights, lambda weight: (x, weight), ours, reference)


def norm_linear_cases(on: Setting) -> Iterator[Case]:
    from ..launch import Workspace
    from ..linear import norm_linear
    from ..reference.linear import norm_linear as reference

    ours = partial(norm_linear, workspace=Workspace.on(on.device))
    rows = (on.shape.queries + 2 * on.shape.keys) * on.shape.dim
    x, norm, bias = (
        on.normal(on.batch, on.shape.hidden),
        on.normal(on.shape.hidden),
        on.normal(rows),
    )
    yield _product(
        "norm_linear qkv",
        on,
        _weights(on, rows, on.shape.hidden),
        lambda weight: (x, norm, EPS, weight, bias),
        ours,
        reference,
    )


def norm_gate_up_cases(on: Setting) -> Iterator[Case]:
    from ..linear import norm_gate_up
    from ..reference.linear import norm_gate_up as reference

    weights = _weights(on, 2 * on.shape.intermediate, on.shape.hidden)
    yield _product("norm_gate_up", on, weights, _gate_up(on), norm_gate_up, reference)


def int8_cases(on: Setting) -> Iterator[Case]:
    from ..quantised import quantise_int8

    return _quantised("int8", on, quantise_int8)


def int4_cases(on: Setting) -> Iterator[Case]:
    from ..quantised import quantise_int4

    def hold(weight: Tensor) -> Any:
        group = next(each for each in GROUPS if weight.shape[1] % (2 * each) == 0)
        return quantise_int4(weight, group)

    return _quantised("int4", on, hold)


def _quantised(kind: str, on: Setting, hold: Callable[[Tensor], Any]) -> Iterator[Case]:
    """Beside the product with the same weights in full, which is what there is without kernels."""
    from .. import linear as kernels
    from ..launch import Workspace
    from ..reference import linear as reference

    shape = on.shape
    full = _weights(on, 2 * shape.intermediate, shape.hidden)
    yield _product(
        f"{kind} norm_gate_up",
        on,
        [hold(each) for each in full],
        _gate_up(on),
        kernels.norm_gate_up,
        reference.norm_gate_up,
        full,
    )
    x, residual = on.normal(on.batch, shape.intermediate), on.normal(on.batch, shape.hidden)
    full = _weights(on, shape.hidden, shape.intermediate)
    yield _product(
        f"{kind} linear down",
        on,
        [hold(each) for each in full],
        _added(x, residual),
        partial(kernels.linear, workspace=Workspace.on(on.device)),
        reference.linear,
        full,
    )


def _added(x: Tensor, residual: Tensor) -> Arguments:
    return lambda weight: (x, weight, None, residual)


def _gate_up(on: Setting) -> Arguments:
    x, norm = on.normal(on.batch, on.shape.hidden), on.normal(on.shape.hidden)
    return lambda weight: (x, norm, EPS, weight)


def _weights(on: Setting, rows: int, inner: int) -> list[Tensor]:
    nbytes = rows * inner * on.dtype.itemsize
    return [on.normal(rows, inner, spread=SPREAD) for _ in range(on.copies(nbytes))]


def _product(
    name: str,
    on: Setting,
    weights: list[Any],
    args: Arguments,
    ours: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    full: list[Tensor] | None = None,
) -> Case:
    """A product of rows with weights, all other tensors being small; `full` are the weights that
    torch's own product takes where the kernel's are quantised."""
    rows, inner = weights[0].shape

    def check() -> tuple[Tensor, Tensor]:
        given = args(weights[0])
        return ours(*given), reference(*map(_double, given))

    return Case(
        name,
        f"[{on.batch}, {inner}] × [{rows}, {inner}]",
        nbytes=weights[0].nbytes,
        copies=len(weights),
        triton=lambda i: ours(*args(weights[i])),
        torch=lambda i: reference(*args(weights[i])),
        check=check,
        fast=None if full is None else lambda i: reference(*args(full[i])),
    )


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
