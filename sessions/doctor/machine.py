"""The processor, the memory and the GPU, as far as this process may use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...engines import cgroup
from ...engines.available import KERNELS, NEW_TORCH, availability, torch_cuda
from .. import figures
from ..clean import one_line
from ..gpu import Gpu
from ..machine import environment
from .check import Check, State

GROUP = "machine"
NEEDED = 1 << 30  # bytes: the included model in float32, its cache and torch
# Of /proc/cpuinfo, the widest first, and what each is worth here.
SETS = {
    "amx_bf16": "AMX multiplies bfloat16",
    "avx512_bf16": "AVX-512 multiplies bfloat16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "asimd": "Neon",
}


def machine(gpu: Gpu, environ: Mapping[str, str], root: Path = cgroup.ROOT) -> Iterator[Check]:
    about: dict[str, Any] = environment(root, gpu)["machine_info"]
    yield _processor(about, root)
    yield _share(about, environ, root)
    yield _memory(about, root)
    yield from _gpu(about["gpu"], gpu)


def _processor(about: dict[str, Any], root: Path) -> Check:
    name = one_line(about["cpu"]["name"] or about["machine"] or "unknown", 80)
    flags = _flags(root)
    known = [told for flag, told in SETS.items() if flag in flags]
    if flags and not known:
        said = f"{name} has neither AVX2 nor Neon, so decoding is slow."
        return Check(GROUP, "processor", "warn", said, "Use a server: /engine URL.")
    told = f"{name}; {known[0]}." if known else f"{name}."
    return Check(GROUP, "processor", "ok", told)


def _flags(root: Path) -> set[str]:
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return set()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _share(about: dict[str, Any], environ: Mapping[str, str], root: Path) -> Check:
    """Engines take a thread for each processor that this process may use."""
    usable, count = about["cpu"]["usable"], about["cpu"]["count"]
    said = f"{usable:g} of {count} processors may be used"
    limit = cgroup.cpu_limit(root)
    said += f", by the container's limit of {limit:g}" if limit and limit <= usable else ""
    fixed = environ.get("OMP_NUM_THREADS", "")
    if fixed.isdecimal() and int(fixed) != int(usable):
        told = f"{said}, and OMP_NUM_THREADS={fixed} is set for all programs."
        return Check(GROUP, "threads", "note", told, "/threads N holds for this one.")
    return Check(GROUP, "threads", "ok", f"{said}.")


def _memory(about: dict[str, Any], root: Path) -> Check:
    limit, total = cgroup.memory_limit(root), about["ram_total"]
    free = cgroup.free_memory() if root == cgroup.ROOT else None
    whose = "the container" if limit is not None and limit == total else "the machine"
    said = f"{figures.size(free)} of the {figures.size(total)} of {whose} are free"
    if free is not None and free < NEEDED:
        need = f"{said}; the included model takes about {figures.size(NEEDED)} in float32."
        return Check(GROUP, "memory", "warn", need, "End other programs, or /quantize int8.")
    return Check(GROUP, "memory", "ok", f"{said}.")


def _gpu(about: Mapping[str, Any] | None, gpu: Gpu) -> Iterator[Check]:
    if about is None:
        why = gpu.reasons.get("gpu", "There is none.")
        yield Check("gpu", "gpu", "note", f"No GPU is used: {why.rstrip('.')}.")
        return
    name, driver = one_line(str(about["name"]), 60), one_line(str(about["driver"]), 30)
    memory = figures.size(about["total_memory"])
    yield Check("gpu", "gpu", "ok", f"{name}, {memory}, driver {driver}.")
    if not torch_cuda():
        said = "torch is a build without CUDA, so it cannot use the GPU."
        yield Check("gpu", "torch", "warn", said, NEW_TORCH)
    kernels = next(each for each in availability("") if each.name == KERNELS)
    state: State = "ok" if kernels.ready else "warn"
    yield Check("gpu", "kernels", state, f"{kernels.why}.", kernels.install)
