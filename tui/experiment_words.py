"""What a person is told while an experiment runs."""

from __future__ import annotations

from ..engines.events import Loaded, Progress
from ..sessions import figures
from ..sessions.bench.experiment import Doing, LeftOut, Told
from ..sessions.bench.plan import Plan
from ..sessions.clean import one_line


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
