"""How many CPUs this process may use; in a container that is fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cpus(proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Honours CPU affinity and the quota of every enclosing cgroup, v2 or v1; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(min([allowed or 1, *_quotas(proc / "cgroup", cgroups)])))


def wait_briefly() -> None:
    """Keeps worker threads of torch from spinning long between products; call before importing
    torch. When another program wants a core, spinning workers hold up each other: beside one busy
    loop a step on 2 cores took 958 ms with OpenMP's own patience and 38 ms with this; alone, it
    costs nothing that could be measured."""
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _quotas(membership: Path, root: Path) -> Iterator[float]:
    """CPUs granted by each cgroup above this process. Inside a container the path listed may lie
    outside what is mounted; the mount's own root then holds the limit."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    limit = _read(folder / "cpu.max").split()
    if not limit:
        limit = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if all(each.isdecimal() for each in limit):  # neither "max" nor "-1" nor absent
        quota, period = map(int, limit)
        yield quota / period


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
