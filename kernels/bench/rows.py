"""Kernels that go once over a few rows."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from .case import Case, Setting

EPS = 1e-6


def add_rms_norm_cases(on: Setting) -> Iterator[Case]:
    from ..norm import add_rms_norm
    from ..reference.norm import add_rms_norm as reference

    hidden = on.shape.hidden
    x, delta, weight = on.normal(on.batch, hidden), on.normal(on.batch, hidden), on.normal(hidden)
    small = delta * 1e-3  # `x` grows with each call

    def check() -> tuple[Tensor, Tensor]:
        exact = reference(x.double(), delta.double(), weight.double(), EPS)
        return add_rms_norm(x.clone(), delta, weight, EPS), exact

    yield Case(
        "add_rms_norm",
        f"[{on.batch}, {hidden}]",
        nbytes=4 * x.nbytes + weight.nbytes,
        copies=1,
        triton=lambda _: add_rms_norm(x, small, weight, EPS),
        torch=lambda _: reference(x, small, weight, EPS),
        check=check,
    )


def swiglu_cases(on: Setting) -> Iterator[Case]:
    from ..norm import swiglu
    from ..reference.norm import swiglu as reference

    gate_up = on.normal(on.batch, 2 * on.shape.intermediate)
    yield Case(
        "swiglu",
        f"[{on.batch}, {2 * on.shape.intermediate}]",
        nbytes=gate_up.nbytes * 3 // 2,
        copies=1,
        triton=lambda _: swiglu(gate_up),
        torch=lambda _: reference(gate_up),
        check=lambda: (swiglu(gate_up), reference(gate_up.double())),
    )
