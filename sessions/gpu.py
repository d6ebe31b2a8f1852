"""The NVIDIA device that an engine would use, through NVML. What can't be known is None, with a
reason; a reading that was refused once is not asked for again."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from .clean import one_line

Value = TypeVar("Value")


def load_nvml() -> Any:
    """The module of nvidia-ml-py; raises ImportError."""
    return importlib.import_module("pynvml")


class Gpu:
    """`reasons` tells why a reading is None: by its name, or "gpu" for all of them."""

    def __init__(self, nvml: Callable[[], Any] = load_nvml, visible: str | None = None) -> None:
        self.reasons: dict[str, str] = {}
        self._visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
        self._refused: set[str] = set()
        self._nvml: Any = None
        self._handle: Any = None
        try:
            self._nvml = nvml()
        except (ImportError, OSError) as error:
            self.reasons["gpu"] = one_line(str(error))
            return
        self._handle = self._read("gpu", self._open)

    def utilization(self) -> float | None:
        def read() -> float:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)

        return self._read("gpu_percent", read)

    def memory(self) -> tuple[int | None, int | None]:
        """Used and total bytes of the device, or of the slice of it that is ours."""
        read = self._read("vram", lambda: self._nvml.nvmlDeviceGetMemoryInfo(self._handle))
        return (int(read.used), int(read.total)) if read else (None, None)

    def memory_of(self, pids: Collection[int]) -> int | None:
        """Bytes held by these processes; None, not 0, where the driver lists none of them, as in
        a container or before the engine has touched the device."""
        listed = self._read("vram_engine", self._processes)
        if listed is None:
            return None
        used: list[int | None] = [each.usedGpuMemory for each in listed if each.pid in pids]
        known = [each for each in used if each is not None]
        if not known or len(known) < len(used):
            self.reasons["vram_engine"] = "The driver lists no memory for the engine's process."
            return None
        self.reasons.pop("vram_engine", None)
        return sum(known)

    def describe(self) -> dict[str, Any] | None:
        """For a log's header; None where there is no device."""
        if self._handle is None:
            return None
        return {
            "name": self._read("name", lambda: str(self._nvml.nvmlDeviceGetName(self._handle))),
            "driver": self._read("driver", lambda: str(self._nvml.nvmlSystemGetDriverVersion())),
            "cuda": self._read("cuda", lambda: self._nvml.nvmlSystemGetCudaDriverVersion_v2()),
            "total_memory": self.memory()[1],
        }

    def _open(self) -> Any:
        """The first visible device, or the slice of it in use."""
        first = "0" if self._visible is None else self._visible.split(",")[0].strip()
        self._nvml.nvmlInit()
        if first.startswith(("GPU-", "MIG-")):
            return self._nvml.nvmlDeviceGetHandleByUUID(first)
        if not first.isdecimal():
            self.reasons["gpu"] = "CUDA_VISIBLE_DEVICES hides every device."
            return None
        device = self._nvml.nvmlDeviceGetHandleByIndex(int(first))
        return self._slice(device) or device

    def _slice(self, device: Any) -> Any:
        try:
            if self._nvml.nvmlDeviceGetMigMode(device)[0]:
                return self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 0)
        except self._nvml.NVMLError:  # most devices have no such mode
            pass
        return None

    def _processes(self) -> list[Any]:
        return list(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))

    def _read(self, name: str, ask: Callable[[], Value]) -> Value | None:
        if name in self._refused or "gpu" in self.reasons:
            return None
        try:
            return ask()
        except AttributeError:  # another package of that name, or one too old
            self.reasons[name] = "The module pynvml is not the one of nvidia-ml-py."
        except self._nvml.NVMLError as error:
            self.reasons[name] = one_line(str(error))
        self._refused.add(name)
        return None
