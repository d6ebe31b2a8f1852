"""What this container may use of the machine's memory and processors; None is "no limit"."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path

import psutil

_NO_LIMIT = 2**60  # version 1 writes a huge number where there is none
ROOT = Path("/")


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes; the tightest of this group's and its ancestors'."""
    found = [
        limit
        for group in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(group / name)) is not None and limit < _NO_LIMIT
    ]
    return min(found, default=None)


def memory_used(root: Path = ROOT) -> int | None:
    """Bytes of the group that `memory_limit` limits, without the file cache, which gives way."""
    limit = memory_limit(root)
    for group in _groups(root, "memory"):
        limits = (_number(group / "memory.max"), _number(group / "memory.limit_in_bytes"))
        used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
        if limit in limits and used is not None:
            return max(0, used - _cached(group))
    return None


def free_memory() -> float:
    """Bytes that this process may still take, by the container's limit and the machine's."""
    limit, used = memory_limit(), memory_used()
    left = limit - used if limit is not None and used is not None else inf
    return min(left, psutil.virtual_memory().available)


def cpu_limit(root: Path = ROOT) -> float | None:
    """Processors' worth of time; the tightest of this group's and its ancestors'."""
    return min((quota for group in _groups(root, "cpu") if (quota := _quota(group))), default=None)


def cpu_used_ns(root: Path = ROOT) -> int | None:
    """Processor time used so far by the group that `cpu_limit` limits."""
    limit = cpu_limit(root)
    for group in _groups(root, "cpu"):
        used = _entry(group / "cpu.stat", "usage_usec")
        if used is not None and _quota(group) == limit:
            return used * 1000
    for group in _groups(root, "cpuacct"):
        return _number(group / "cpuacct.usage")
    return None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's group and its ancestors, innermost first. Inside a container the
    path may be the host's, so that only its ancestors exist."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controllers  # such as "cpu,cpuacct"
            top = top if top.is_dir() else top.with_name(controller)
        elif number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        else:
            continue
        inner = top / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_dir() and folder.is_relative_to(top):
                yield folder


def _quota(group: Path) -> float | None:
    """Version 2 has "quota period" in one file, version 1 one file each; "max" and -1 are none."""
    words = _read(group / "cpu.max").split()
    if not words:
        words = [_read(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None


def _cached(group: Path) -> int:
    stat = group / "memory.stat"
    return _entry(stat, "total_inactive_file") or _entry(stat, "inactive_file") or 0


def _entry(path: Path, name: str) -> int | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
