"""What can run on this machine and why the rest cannot, told without importing torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

KERNELS = "triton kernels"
NEW_TORCH = "pip install --force-reinstall torch"


@dataclass(frozen=True, slots=True)
class Availability:
    name: str
    ready: bool
    why: str
    install: str = ""  # the command that makes it ready, where there is one

    @property
    def told(self) -> str:
        return "  ".join(["yes" if self.ready else "no ", "; ".join(self.reasons)])

    @property
    def reasons(self) -> list[str]:
        return [each for each in (self.why, self.install) if each]


def availability(no_gpu: str) -> list[Availability]:
    """What runs the weights. `no_gpu` tells why no NVIDIA device can be used; "" where one can."""
    lacking = f"no NVIDIA device: {no_gpu}" if no_gpu else ""
    return [_native("cpu", ""), _native("cuda", lacking), _triton(lacking), _hf(), _llamacpp()]


def forms() -> list[Availability]:
    """How a torch target may hold its weights, by the names that /quantize takes."""
    build = version("torch")
    make = partial(Availability, ready=bool(build), install="" if build else "pip install torch")
    return [
        make("none", why="as they are in the file, in the format of /dtype"),
        make("bf16", why="half the bytes of float32"),
        make("int8", why="a quarter of the bytes; a scale a row"),
        make("int4", why="about an eighth of the bytes; a scale for each 32 to 128 weights"),
        _nf4(),
    ]


def _native(device: str, problem: str) -> Availability:
    name = f"native {device}"
    build = version("torch")
    if not build:
        return Availability(name, False, "torch is missing", "pip install torch")
    if device == "cuda" and not problem and not torch_cuda():
        return Availability(name, False, f"torch {build} is a build without CUDA", NEW_TORCH)
    return Availability(name, not problem, problem or f"torch {build}")


def _triton(no_gpu: str) -> Availability:
    """Our own kernels, in the native target."""
    if find_spec("triton") is None:
        why = "Triton, which is for Linux, is missing"
        return Availability(KERNELS, False, why, "pip install 'tokenhud[triton]'")
    build = f"triton {version('triton')}"
    interpreter = "TRITON_INTERPRET=1 tokenhud kernels checks them slowly"
    return Availability(
        KERNELS, not no_gpu, f"{build}; {no_gpu}; {interpreter}" if no_gpu else build
    )


def _hf() -> Availability:
    if find_spec("transformers"):
        return Availability("hf", True, f"transformers {version('transformers')}")
    why = "transformers, which runs the architectures that native does not know, is missing"
    return Availability("hf", False, why, "pip install 'tokenhud[hf]'")


def _llamacpp() -> Availability:
    """GGUF files as they are. Its GPU libraries are looked for by name: loading them takes time."""
    package = find_spec("llama_cpp")
    if not package or not package.submodule_search_locations:
        why = "llama-cpp-python, which runs GGUF files, is missing"
        return Availability("llamacpp", False, why, "pip install llama-cpp-python")
    folder = Path(package.submodule_search_locations[0]) / "lib"
    names = {each.name.partition(".")[0].rpartition("ggml-")[2] for each in folder.glob("*ggml-*")}
    devices = ", ".join(sorted({"cpu"} | names - {"base"}))
    return Availability(
        "llamacpp", True, f"llama-cpp-python {version('llama-cpp-python')}, built for {devices}"
    )


def _nf4() -> Availability:
    if find_spec("bitsandbytes"):
        build = f"bitsandbytes {version('bitsandbytes')}"
        return Availability("nf4", True, f"about an eighth of the bytes, by {build}")
    return Availability("nf4", False, "bitsandbytes is missing", "pip install 'tokenhud[bnb]'")


def torch_cuda() -> str:
    """The CUDA version that torch was built for; "" of a build without."""
    package = find_spec("torch")
    if not package or not package.submodule_search_locations:
        return ""
    try:
        told = (Path(package.submodule_search_locations[0]) / "version.py").read_text("utf-8")
    except OSError:
        return ""
    found = re.search(r"^cuda\b.*= *'([\d.]+)'", told, re.MULTILINE)
    return found[1] if found else ""


def version(package: str) -> str:
    """Empty where it is not known, as of a module that came under another package's name."""
    try:
        return version_of(package)
    except PackageNotFoundError:
        return ""
