"""Work that tells its steps and ends with a result, run to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar, cast

Step = TypeVar("Step")
Result = TypeVar("Result")


def finished(
    steps: Generator[Step, None, Result], watch: Callable[[Step], object] | None = None
) -> Result:
    """What `steps` end with; each is told to `watch`."""
    while True:
        try:
            step = next(steps)
        except StopIteration as done:
            return cast("Result", done.value)
        if watch:
            watch(step)
