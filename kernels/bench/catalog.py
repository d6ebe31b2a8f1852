"""Every kernel's cases, in generators: one case's memory is free before the next is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .attending import attention_cases, rotate_and_write_cases
from .case import Case, Setting
from .picking import pick_cases
from .products import int4_cases, int8_cases, linear_cases, norm_gate_up_cases, norm_linear_cases
from .rows import add_rms_norm_cases, swiglu_cases

KERNELS: dict[str, Callable[[Setting], Iterator[Case]]] = {
    "linear": linear_cases,
    "norm_linear": norm_linear_cases,
    "norm_gate_up": norm_gate_up_cases,
    "int8": int8_cases,
    "int4": int4_cases,
    "attention": attention_cases,
    "rotate_and_write": rotate_and_write_cases,
    "add_rms_norm": add_rms_norm_cases,
    "swiglu": swiglu_cases,
    "pick": pick_cases,
}
