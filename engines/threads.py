"""How many CPUs this process may use, and how torch's threads wait on them."""

from __future__ import annotations

import math
import os
from pathlib import Path

from . import cgroup


def usable_cpus(root: Path = cgroup.ROOT) -> int:
    """Honours CPU affinity and the container's quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(min(allowed or 1, cgroup.cpu_limit(root) or math.inf)))


def wait_briefly() -> None:
    """Lets torch's worker threads sleep soon after each product instead of spinning; call before
    torch is imported. A spinning worker and another program on its core hold up each other: on 2
    cores beside one busy loop a step took 38 to 1800 ms with OpenMP's own patience, 20 to 39 ms
    with this, and the same 16 ms either way when alone (2000 is about 30 µs, one attention)."""
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
