"""What a person asks of an experiment, and is told while it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from ...engines.events import EngineError, Loaded, Progress
from ...engines.options import Spec, from_record, to_record
from ...sessions import figures
from ...sessions.bench.chart import Chart
from ...sessions.bench.experiment import Doing, LeftOut, Told
from ...sessions.bench.methods import method
from ...sessions.bench.plan import Plan
from ...sessions.bench.statistics import Ratio
from ...sessions.clean import one_line

WIDTH, HEIGHT = 60, 15  # of a table or chart beside the HUD
MOST_RUNS = 100
_RUNS = re.compile(r"(?:^|\s)runs=(\S*)\s*$", re.IGNORECASE)


def asked_runs(text: str, usual: int) -> tuple[str, int]:
    """`text` without a trailing runs=N, and N. Raises EngineError."""
    found = _RUNS.search(text)
    if not found:
        return text, usual
    if not re.fullmatch(r"[0-9]{1,3}", found[1]) or not 1 <= int(found[1]) <= MOST_RUNS:
        raise EngineError(f"runs takes a whole number from 1 to {MOST_RUNS}.", "Use: runs=5")
    return text[: found.start()], int(found[1])


def sides(text: str) -> list[str]:
    """What stands between commas, or between spaces where there is no comma."""
    parts = text.split(",") if "," in text else text.split()
    return [each.strip() for each in parts if each.strip()]


def doing(told: Doing) -> Progress:
    """How far it is, with the time left."""
    left = f" · {figures.duration(told.left)} left" if told.left is not None else ""
    stage = f"{told.method} · {told.case} · {told.done + 1} of {told.total}{left}"
    return Progress(0, one_line(stage), told.done, told.total)


def notice(told: Told, plan: Plan) -> str:
    """A sentence on what went otherwise than planned; "" where nothing did."""
    if isinstance(told, LeftOut):
        return f"{told.method} is left out of {told.case}: {one_line(told.why)}"
    if isinstance(told, Loaded) and plan.model_sha256 not in ("", told.model.sha256):
        return f"{one_line(told.model.name)} is not the model that answered in the chat."
    return ""


def times(found: Ratio | None) -> str:
    """A ratio with its interval, short enough for a column."""
    if found is None or found.value is None:
        return figures.ABSENT
    if found.low is None or found.high is None:
        return figures.factor(found.value)
    low, high = figures.factor(found.low), figures.factor(found.high)
    return f"{figures.factor(found.value)} ({low}–{high})"


def drawn(chart: Chart) -> str:
    from ...sessions.bench.draw_text import draw_text  # here: the chat starts without it

    encoding = getattr(sys.__stdout__, "encoding", None) or "ascii"
    return draw_text(chart, WIDTH, HEIGHT, False, encoding)


def setting_lines(name: str, spec: Spec) -> list[str]:
    """The commands that make a method, as people write it, the one in use; those that would change
    nothing are left out."""
    return lines_for(method(name).changes, spec)


def lines_for(changes: Mapping[str, str | int | float | None], spec: Spec) -> list[str]:
    known = {name: value for name, value in changes.items() if hasattr(spec, name)}
    new = {name: value for name, value in known.items() if getattr(spec, name) != value}
    wanted = from_record(Spec, to_record(spec) | known)
    return list(dict.fromkeys(_line(name, wanted) for name in new))


def _line(name: str, wanted: Spec) -> str:
    value = getattr(wanted, name)
    match name:
        case "drafter":
            return "/autoregressive" if value == "plain" else f"/{value}"
        case "gamma" | "gamma_policy":
            fixed = wanted.gamma_policy == "fixed"
            return f"/gamma {wanted.gamma if fixed else wanted.gamma_policy}"
        case "draft_model":
            return f"/drafter {value}"
        case "ngram_n" | "ngram_storage":
            return f"/ngram_storage {wanted.ngram_storage} {wanted.ngram_n}"
        case "target":
            return f"/runtime {value}"
        case _:
            return f"/{name} {'auto' if value is None else value}"
