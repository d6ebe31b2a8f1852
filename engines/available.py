"""What can run on this machine and why the rest cannot, told without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class Availability:
    name: str
    ready: bool
    why: str

    @property
    def told(self) -> str:
        return f"{'yes' if self.ready else 'no '}  {self.why}"


def availability(no_gpu: str) -> list[Availability]:
    """`no_gpu` tells why no NVIDIA device can be used; "" where one can."""
    return [_native("cpu", ""), _native("cuda", no_gpu), _hf()]


def _native(device: str, problem: str) -> Availability:
    name = f"native {device}"
    try:
        build = version("torch")
    except PackageNotFoundError:
        return Availability(name, False, "torch is missing: pip install torch")
    if device == "cuda" and "+cpu" in build:
        problem = f"torch {build} is a build without CUDA"
    return Availability(name, not problem, problem or f"torch {build}")


def _hf() -> Availability:
    """Any architecture that is not native's."""
    if find_spec("transformers"):
        return Availability("hf", True, f"transformers {version('transformers')}")
    return Availability("hf", False, "pip install 'tokenhud[hf]'; runs what native does not know")
