"""What can run on this machine and why the rest cannot, told without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

KERNELS = "triton kernels"


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
    return [_native("cpu", ""), _native("cuda", no_gpu), _triton(no_gpu), _hf(), _llamacpp()]


def _native(device: str, problem: str) -> Availability:
    name = f"native {device}"
    build = version("torch")
    if not build:
        return Availability(name, False, "torch is missing: pip install torch")
    if device == "cuda" and "+cpu" in build:
        problem = f"torch {build} is a build without CUDA"
    return Availability(name, not problem, problem or f"torch {build}")


def _triton(no_gpu: str) -> Availability:
    """Our own kernels, in the native target."""
    if find_spec("triton") is None:
        return Availability(KERNELS, False, "pip install 'tokenhud[triton]'; on Linux")
    build = f"triton {version('triton')}"
    interpreter = "TRITON_INTERPRET=1 tokenhud kernels checks them slowly"
    return Availability(
        KERNELS, not no_gpu, f"{build}; {no_gpu}; {interpreter}" if no_gpu else build
    )


def _hf() -> Availability:
    """Any architecture that is not native's."""
    if find_spec("transformers"):
        return Availability("hf", True, f"transformers {version('transformers')}")
    return Availability("hf", False, "pip install 'tokenhud[hf]'; runs what native does not know")


def _llamacpp() -> Availability:
    """GGUF files as they are. Its GPU libraries are looked for by name: loading them takes time."""
    package = find_spec("llama_cpp")
    if not package or not package.submodule_search_locations:
        return Availability("llamacpp", False, "pip install llama-cpp-python; runs GGUF files")
    folder = Path(package.submodule_search_locations[0]) / "lib"
    names = {each.name.partition(".")[0].rpartition("ggml-")[2] for each in folder.glob("*ggml-*")}
    devices = ", ".join(sorted({"cpu"} | names - {"base"}))
    return Availability(
        "llamacpp", True, f"llama-cpp-python {version('llama-cpp-python')}, built for {devices}"
    )


def version(package: str) -> str:
    """Empty where it is not known, as of a module that came under another package's name."""
    try:
        return version_of(package)
    except PackageNotFoundError:
        return ""
