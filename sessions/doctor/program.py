"""Python, and the packages that this one asks for."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires
from itertools import zip_longest
from typing import NamedTuple

from ...engines.available import torch_cuda, version
from .check import Check

GROUP = "program"
PYTHON = (3, 11)
NAME = "tokenhud"
EXTRAS = {  # what each is for; dev is for who works on the program
    "bnb": "/quantize nf4",
    "charts": "charts as png",
    "hf": "models of the hub and other architectures",
    "keyring": "keys of servers from the keyring",
    "serve": "tokenhud serve",
    "triton": "our GPU kernels",
}
COMPILERS = ("c++", "g++", "clang++")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,\s-]*\])?\s*([<>=!~,.\d\s\w]*?)\s*(?:;(.*))?$")


class Requirement(NamedTuple):
    package: str
    versions: str  # such as "<9,>=8.2.8"
    extra: str  # that it belongs to; "" of those that are always needed


def program() -> Iterator[Check]:
    yield _python()
    wanted = requirements()
    yield from _packages([each for each in wanted if not each.extra])
    yield _torch()
    yield from _extras(wanted)
    yield _compiler()


def requirements() -> list[Requirement]:
    """What the installed package says that it needs; none where it was not installed as one."""
    try:
        lines = requires(NAME) or []
    except PackageNotFoundError:
        return []
    found = [match for each in lines if (match := _REQUIREMENT.match(each))]
    return [Requirement(each[1], each[2], _extra(each[3] or "")) for each in found]


def meets(installed: str, versions: str) -> bool:
    """Of the bounds >=, <= and <, by the numbers alone: what pip has let in is not judged again."""
    have = _numbers(installed)
    for bound in versions.split(","):
        match = re.match(r"\s*(>=|<=|<|>)\s*([\d.]+)", bound)
        if match and not _holds(have, match[1], _numbers(match[2])):
            return False
    return True


def _holds(have: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    pairs = list(zip_longest(have, bound, fillvalue=0))
    here, there = [a for a, _ in pairs], [b for _, b in pairs]
    return {">=": here >= there, ">": here > there, "<=": here <= there, "<": here < there}[sign]


def _numbers(version_: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version_)
    return tuple(map(int, match[0].split("."))) if match else ()


def _extra(marker: str) -> str:
    match = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
    return match[1] if match else ""


def _python() -> Check:
    told = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        return Check(GROUP, "python", "fault", f"It is {told}.", f"Install Python {wanted}.")
    return Check(GROUP, "python", "ok", f"It is {told}.")


def _packages(wanted: Sequence[Requirement]) -> Iterator[Check]:
    """One line where all is well, else one for each that is not."""
    wrong = [check for each in wanted if (check := _wrong(each))]
    yield from wrong
    if not wrong and wanted:
        shown = ", ".join(f"{name} {version(name)}" for name in ("textual", "llama-cpp-python"))
        yield Check(GROUP, "packages", "ok", f"All {len(wanted)} are there: {shown} …")
    elif not wanted:
        said = "The program runs from a folder that is not installed."
        yield Check(GROUP, "packages", "warn", said, "pip install -e .")


def _wrong(wanted: Requirement) -> Check | None:
    have = version(wanted.package)
    if have and meets(have, wanted.versions):
        return None
    said = f"It is {have}, and {wanted.versions} is needed." if have else "It is missing."
    remedy = f"pip install '{wanted.package}{wanted.versions}'"
    return Check(GROUP, wanted.package, "fault", said, remedy)


def _torch() -> Check:
    build, cuda = version("torch"), torch_cuda()
    if not build:
        return Check(GROUP, "torch", "fault", "It is missing.", "pip install torch")
    kind = f"built for CUDA {cuda}" if cuda else "built for the CPU"
    return Check(GROUP, "torch", "ok", f"It is {build}, {kind}.")


def _extras(wanted: Sequence[Requirement]) -> Iterator[Check]:
    for extra, purpose in EXTRAS.items():
        own = [each.package for each in wanted if each.extra == extra]
        lacking = [each for each in own if not version(each)]
        if lacking:
            said = f"{', '.join(lacking)} is missing, for {purpose}."
            yield Check("extras", extra, "note", said, f"pip install 'tokenhud[{extra}]'")
        elif own:
            had = ", ".join(f"{each} {version(each)}" for each in own)
            yield Check("extras", extra, "ok", f"{had}, for {purpose}.")


def _compiler() -> Check:
    """llama-cpp-python is built on this machine as a rule, and Triton builds at the first use."""
    names = [os.environ.get("CXX", ""), *COMPILERS]
    found = next((path for each in names if each and (path := shutil.which(each))), None)
    if found:
        return Check(GROUP, "compiler", "ok", f"{found} is there.")
    said = "There is no C++ compiler; it is needed to install llama-cpp-python anew."
    return Check(GROUP, "compiler", "note", said, "Install g++ or clang.")
