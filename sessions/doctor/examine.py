"""All that is looked at without an engine, in the order in which it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..gpu import Gpu
from .check import Check
from .machine import machine
from .places import places
from .program import program
from .terminal import terminal, window


def examine(gpu: Gpu) -> Iterator[Check]:
    """Imports no torch, so that a screen's process can ask too."""
    yield from program()
    yield from machine(gpu, os.environ)
    yield from places()
    yield from terminal(os.environ, window())
