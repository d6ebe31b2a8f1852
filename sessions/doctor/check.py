"""What a doctor says of one thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

State = Literal["ok", "note", "warn", "fault"]
FAULT = 3  # exit status: see docs/results.md


class Check(NamedTuple):
    """A note is of what is absent and not needed; with a warning all works, less well; with a fault
    something does not."""

    group: str
    name: str
    state: State
    said: str  # a sentence
    remedy: str = ""


def exit_status(checks: Iterable[Check]) -> int:
    """0 where all is well or only warns, as of KPIs."""
    return FAULT if any(each.state == "fault" for each in checks) else 0
