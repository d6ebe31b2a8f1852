"""What measured figures must reach, from a TOML file: its form is told at the head of kpi.toml."""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...engines.events import EngineError
from ..clean import one_line

PACKAGED = Path(__file__).parent / "kpi.toml"
BOUNDS = {"at_least": "≥", "at_most": "≤", "below": "<"}
PASS, WARN, FAIL, SKIPPED, ERROR = "PASS", "WARN", "FAIL", "SKIPPED", "ERROR"
EACH, BEST = "each", "best"
_FORM = re.compile(r",?(\.\d)?[efg%]")
REMEDY = "Correct the file; the form of one is told in docs/kernels.md."


@dataclass(frozen=True, slots=True)
class Limit:
    """An entry of such a file. An empty `case` or `method` is any."""

    name: str
    metric: str
    bound: str  # of BOUNDS
    target: float
    case: str = ""
    method: str = ""
    unit: str = ""
    form: str = "g"
    missed: str = FAIL  # the status of a figure that doesn't reach it
    condition: str = ""
    command: str = ""  # what measures it
    of: str = EACH  # of several figures: each must reach it, or the best

    def met(self, value: float) -> bool:
        """False for what is no number."""
        if self.bound == "at_least":
            return value >= self.target
        return value < self.target or (self.bound == "at_most" and value == self.target)

    def shown(self, value: float | None) -> str:
        if value is None:
            return "–"
        gap = " " if self.unit[:1].isalpha() else ""
        return f"{value:{self.form}}{gap}{self.unit}"

    @property
    def asked(self) -> str:
        return f"{BOUNDS[self.bound]} {self.shown(self.target)}"


@functools.cache
def packaged_limits() -> tuple[Limit, ...]:
    return read_limits(PACKAGED)


def read_limits(path: Path) -> tuple[Limit, ...]:
    """Raises EngineError, which names file, entry and key of the first fault."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}.", "Name another.") from None
    except (ValueError, RecursionError) as error:  # of UTF-8 or of TOML
        raise EngineError(f"{path} is not TOML: {one_line(str(error))}.", REMEDY) from None
    entries = raw.get("kpi")
    if raw.keys() != {"kpi"} or not isinstance(entries, list) or not entries:
        raise EngineError(f"{path} must hold entries [[kpi]] and nothing else.", REMEDY)
    return tuple(_limit(path, number, each) for number, each in enumerate(entries, start=1))


def select(limits: Sequence[Limit], metrics: Sequence[str]) -> tuple[Limit, ...]:
    """Those of the given metrics; all where none are given."""
    return tuple(each for each in limits if not metrics or each.metric in metrics)


def _limit(path: Path, number: int, entry: Any) -> Limit:
    problem = _problem(entry)
    if problem:
        name = entry.get("name", "") if isinstance(entry, dict) else ""
        called = f" ({one_line(str(name), 40)})" if name else ""
        raise EngineError(f"{path}, kpi {number}{called}: {problem}.", REMEDY)
    (bound,) = entry.keys() & BOUNDS.keys()
    words = {key: value for key, value in entry.items() if key not in BOUNDS}
    return Limit(bound=bound, target=float(entry[bound]), **words)


def _problem(entry: Any) -> str:
    """What is wrong with the first key that is; "" where nothing is."""
    if not isinstance(entry, dict):
        return "an entry is a table"
    texts = [each.name for each in fields(Limit) if each.name not in ("bound", "target")]
    unknown = sorted(entry.keys() - BOUNDS.keys() - set(texts))
    if unknown:
        return f"there is no key {one_line(unknown[0], 40)}"
    for key in texts:
        if key in entry and not isinstance(entry[key], str):
            return f"{key} is a text"
    for key in ("name", "metric"):
        if not entry.get(key):
            return f"{key} is missing"
    return _bound_problem(entry) or _words_problem(entry)


def _bound_problem(entry: Mapping[str, Any]) -> str:
    bounds = sorted(entry.keys() & BOUNDS.keys())
    if len(bounds) != 1:
        given = f"{' and '.join(bounds)} are" if bounds else "none is"
        return f"one of {', '.join(BOUNDS)} is needed, {given} given"
    target = entry[bounds[0]]
    if isinstance(target, bool) or not isinstance(target, int | float) or not _finite(target):
        return f"{bounds[0]} is a number"
    return ""


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def _words_problem(entry: Mapping[str, str]) -> str:
    for key, words in (("missed", (FAIL, WARN)), ("of", (EACH, BEST))):
        if entry.get(key, words[0]) not in words:
            return f"{key} is {' or '.join(words)}"
    if not _FORM.fullmatch(entry.get("form", "g")):
        return "form is a format of a number, such as .2f, .1e, g or .1%"
    return ""
