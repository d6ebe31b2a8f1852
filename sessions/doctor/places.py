"""The included model, and the folders that the program reads and writes. Nothing is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...engines.cache import cache_folder
from ...engines.events import EngineError
from ...engines.gguf_path import EMBEDDED, gguf_path
from .. import figures
from ..clean import one_line
from ..config import Config, config_path, read_config
from ..places import list_sessions, results_folder, session_folder
from .check import Check

GROUP = "files"
CONVERTED = 700_000_000  # bytes that the included model takes in the cache, with room to write it
LITTLE = 100_000_000  # bytes of a disk, below which chats and results may not fit


def places() -> Iterator[Check]:
    yield from map(_model, EMBEDDED)
    yield _cache(cache_folder())
    yield _sessions(session_folder())
    yield _kept("results", results_folder(), "", "benchmarks need --out DIR")
    yield _config(read_config(config_path()))


def lacks(folder: Path) -> str:
    """Why nothing can be written in `folder`, or it cannot be made; "" where it can."""
    there = _nearest(folder)
    if not there.is_dir():
        return f"{one_line(str(there))} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{one_line(str(there))} may not be written"
    return ""


def _nearest(folder: Path) -> Path:
    """`folder`, or what of it exists."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(_nearest(folder)).free
    except OSError:
        return None


def _model(name: str) -> Check:
    try:
        path = gguf_path(name)
        size = path.stat().st_size
    except EngineError as error:
        return Check(GROUP, "model", "fault", error.what, error.remedy)
    except OSError as error:
        said = f"{name} cannot be read: {error.strerror}."
        return Check(GROUP, "model", "fault", said, f"pip install --force-reinstall {name}")
    return Check(GROUP, "model", "ok", f"{name} is here, {figures.size(size)}.")


def _cache(folder: Path) -> Check:
    """What can't be kept there is converted anew, into a temporary folder, at each start."""
    shown, free = one_line(str(folder)), _free(folder)
    if why := lacks(folder):
        said = f"{why}, so each start converts the model anew."
        return Check(GROUP, "cache", "warn", said, "Name another folder in TOKENHUD_CACHE.")
    ready = any(folder.glob("gguf-*/model.safetensors"))
    if not ready and free is not None and free < CONVERTED:
        said = f"{figures.size(free)} are free in {shown}, too little for the included model."
        return Check(GROUP, "cache", "fault", said, "Make room, or set TOKENHUD_CACHE.")
    had = "the model is converted" if ready else "the first start converts the model"
    return Check(GROUP, "cache", "ok", f"{shown}: {had}; {figures.size(free)} free.")


def _sessions(folder: Path) -> Check:
    try:
        told = f"{figures.counted(len(list_sessions(folder)), 'session')} in "
    except EngineError as error:
        return Check(GROUP, "sessions", "warn", error.what, "Name a folder in TOKENHUD_HOME.")
    return _kept("sessions", folder, told, "a chat is not saved unless /save PATH names a file")


def _kept(name: str, folder: Path, told: str, otherwise: str) -> Check:
    shown, free = one_line(str(folder)), _free(folder)
    if why := lacks(folder):
        said = f"{why}: {otherwise}."
        return Check(GROUP, name, "warn", said, "Name a folder in TOKENHUD_HOME.")
    if free is not None and free < LITTLE:
        said = f"{figures.size(free)} are free in {shown}."
        return Check(GROUP, name, "warn", said, "Make room.")
    return Check(GROUP, name, "ok", f"{told}{shown}; {figures.size(free)} free.")


def _config(read: Config) -> Check:
    shown = one_line(str(read.path))
    if read.problems:
        more = figures.counted(len(read.problems), "line")
        said = f"{one_line(read.problems[0])} ({more} passed over)"
        return Check(GROUP, "config", "warn", said, f"Mend {shown}.")
    if why := lacks(read.path.parent):
        said = f"{why}, so settings are not remembered."
        return Check(GROUP, "config", "warn", said, "Name a file in TOKENHUD_CONFIG.")
    return Check(GROUP, "config", "ok", f"{shown}{'' if read.path.exists() else ', not made yet'}.")
