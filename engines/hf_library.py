"""transformers, found, kept silent and kept from the network."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

from .events import EngineError

OLDEST = (5, 17)
INSTALL = 'Run: pip install "tokenhud[hf]"'


def library() -> ModuleType:
    """The package. Raises EngineError where it is missing or too old."""
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # or some models fetch code when they are made
    try:
        import transformers
    except ImportError as error:
        absent = error.name == "transformers"
        why = "is not installed" if absent else f"cannot be used: {first_line(error)}"
        raise EngineError(f"This model runs through transformers, which {why}.", INSTALL) from error
    found = tuple(map(int, re.findall(r"\d+", transformers.__version__)[:2]))
    if found < OLDEST:
        raise EngineError(
            f"transformers {transformers.__version__} is installed, and this model needs "
            f"{'.'.join(map(str, OLDEST))} or newer.",
            INSTALL,
        )
    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers


@contextmanager
def silence() -> Iterator[None]:
    """Some progress bars and warnings know no switch."""
    with warnings.catch_warnings(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a sentence of ours to end with."""
    lines = str(error).strip().splitlines() or [""]
    kind = f"{type(error).__name__} " if isinstance(error, LookupError) or not lines[0] else ""
    return (kind + lines[0][:300].rstrip(".: ")).strip()


def unfilled(info: dict[str, Any]) -> str:
    """What a loading left at random values; the library itself goes on with them."""
    missing = sorted(info["missing_keys"])
    other = sorted(each[0] for each in info["mismatched_keys"])
    if missing:
        return f"lacks the weights {missing[0]}"
    return f"has weights of another shape than its config says: {other[0]}" if other else ""
