"""The results that are kept: found, and told in one report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ... import __version__
from ...engines.events import EngineError
from ..clean import one_line
from ..places import DELETED, reached
from ..reading import read
from ..records import Header
from ..results import BK_FILE, KERNELS_FILE, KPI_FILES, PROFILE_FILE, SCALING, SCALING_FILE
from .plan import Plan
from .record import result_record
from .result import RAW, read_result
from .tables import Table, as_markdown, tables

# Results that are one JSON object each: benchmarks of kernels and of the KPIs.
SINGLE = (
    BK_FILE,
    SCALING_FILE,
    KERNELS_FILE,
    PROFILE_FILE,
    *(each.name for each in KPI_FILES.values()),
    *(file for file, _ in SCALING.values()),
)
HEAD = 3  # records at most before the plan of a raw log


@dataclass(frozen=True, slots=True)
class Saved:
    """One folder of results, as far as its head tells."""

    path: Path
    created: str  # "" where only single results lie there
    purpose: str
    methods: tuple[str, ...]
    single: tuple[Path, ...]  # JSON files of single results
    fault: str = ""  # why it is no result


def kept(folder: Path) -> list[Saved]:
    """Newest first; a folder that holds none is left out. Raises EngineError where `folder` can't
    be read."""
    return [each for each in looked(folder) if not each.fault]


def kept_if_readable(folder: Path) -> list[Saved]:
    """As `kept`, for what does without them."""
    try:
        return kept(folder)
    except EngineError:
        return []


def looked(folder: Path) -> list[Saved]:
    """As `kept`, with the folders that hold none."""
    with reached(folder):
        try:
            names = [each for each in folder.iterdir() if not each.name.startswith(".")]
            folders = [each for each in names if each.is_dir() and each.name != DELETED]
        except (FileNotFoundError, NotADirectoryError):  # none is kept yet
            return []
    found = map(_looked, folders)
    return sorted(found, key=lambda each: (each.created, each.path.name), reverse=True)


def look(folder: Path) -> Saved | None:
    """What `folder` holds; None where that is no result."""
    found = _looked(folder)
    return None if found.fault else found


def single_tables(each: Saved) -> list[Table]:
    """Its results that are one JSON object. Raises EngineError."""
    return [_single(path) for path in each.single]


def report(found: Sequence[Saved]) -> str:
    """All of them as one Markdown text."""
    parts = [f"# Results\n\nWritten by tokenhud {__version__}.\n"]
    for each in found:
        parts.append(f"## {_named(each)}\n")
        if each.purpose:
            parts.append(as_markdown(tables(read_result(each.path)), level=3))
        if each.single:
            parts.append(as_markdown(single_tables(each), level=3))
    return "\n".join(parts)


def report_record(found: Sequence[Saved]) -> dict[str, Any]:
    """The same as JSON: whole results under the names of their folders and files."""
    return {
        "tokenhud_version": __version__,
        "results": {
            str(each.path): {
                **({"result": result_record(read_result(each.path), None)} if each.purpose else {}),
                **{path.name: _json(path) for path in each.single},
            }
            for each in found
        },
    }


def _looked(folder: Path) -> Saved:
    try:
        single = tuple(sorted(each for each in folder.glob("*.json") if _plain(each) in SINGLE))
        head = list(islice(read(folder / RAW), HEAD)) if (folder / RAW).is_file() else []
    except EngineError as error:
        return Saved(folder, "", "", (), (), str(error))
    except OSError as error:
        return Saved(folder, "", "", (), (), f"It cannot be read: {error.strerror}.")
    created = next((each.created for each in head if isinstance(each, Header)), "")
    plan = next((each for each in head if isinstance(each, Plan)), None)
    purpose, methods = (plan.purpose, plan.methods) if plan else ("", ())
    fault = "" if purpose or single else "It holds no result."
    return Saved(folder, created, purpose, tuple(each.name for each in methods), single, fault)


def _single(path: Path) -> Table:
    rows = [(key, value) for key, value in _flat(_json(path)) if value is not None]
    return Table(path.name, ("figure", "value"), tuple(rows), ())


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str | None]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, each in enumerate(value, start=1):
            yield from _flat(each, f"{name} {number}")
    else:
        shown = ", ".join(map(_word, value)) if isinstance(value, list) else _word(value)
        yield one_line(name), None if value is None else one_line(shown, 200)


def _word(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_refused, parse_float=_finite)
    except (OSError, ValueError, RecursionError):
        raise EngineError(f"{one_line(str(path))} cannot be read.", "Remove it.") from None


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        _refused(digits)
    return number


def _plain(path: Path) -> str:
    """A name without the number that kept it from overwriting another."""
    stem, _, number = path.stem.rpartition("-")
    return f"{stem}{path.suffix}" if stem and number.isdecimal() else path.name


def _named(each: Saved) -> str:
    told = (each.path.name, each.purpose, each.created[:16])
    return " · ".join(one_line(part, 80) for part in told if part)
