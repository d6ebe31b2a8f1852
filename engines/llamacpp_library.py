"""The llama.cpp library, imported where it is first needed, and its own words on a failure."""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
from collections import deque
from typing import Any

from .events import EngineError
from .threads import wait_briefly

INSTALL = "Run: pip install llama-cpp-python"
WARNING, ERROR = 3, 4  # of ggml_log_level

_heard: deque[tuple[int, str]] = deque(maxlen=20)
_kept_alive: list[object] = []  # what C holds a bare pointer to


@functools.cache
def library() -> Any:
    """llama.cpp's C functions by their own names; raises EngineError where there are none."""
    wait_briefly()
    try:
        found: Any = importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "llama_cpp"
        why = "is not installed" if missing else f"cannot be loaded: {error}"
        raise EngineError(f"llama-cpp-python {why}.", INSTALL) from error
    callback = found.llama_log_callback(_listen)
    _kept_alive.append(callback)
    found.llama_log_set(callback, ctypes.c_void_p(0))
    found.llama_backend_init()
    return found


def give_back() -> None:
    """Freed memory goes back to the system: glibc keeps some 5 MB of each load in the threads that
    took part, which differ from load to load."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def forget() -> None:
    """What is said from now on is what `reason` tells of."""
    _heard.clear()


def reason() -> str:
    """Why llama.cpp failed: the first error it told, since later ones only pass it on."""
    errors = [text for level, text in _heard if level == ERROR]
    told = errors or [text for _, text in _heard][-1:] or ["it does not say why"]
    _, _, short = told[0].rpartition("error loading model: ")
    return short[:200].rstrip(". ")


def _listen(level: int, text: bytes, _: object) -> None:
    """Keeps warnings and errors; errors go to the engine's report as well."""
    if level not in (WARNING, ERROR):
        return
    said = text.decode("utf-8", "replace").strip()  # which may quote the file's own names
    line = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in said)
    if level == ERROR:
        print(line, file=sys.stderr, flush=True)
    where, colon, said = line.partition(": ")
    _heard.append((level, said if colon and " " not in where else line))
