"""A doctor's findings and suggestions in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...sessions import figures
from ...sessions.doctor.check import Check
from ...sessions.suggestions import Suggestion

MARKS = {"ok": "ok", "note": "-", "warn": "WARN", "fault": "FAULT"}
GAP = 12  # columns of a name


def line(check: Check) -> str:
    """A remedy stands on a line of its own, where it can be copied whole."""
    said = f"{MARKS[check.state]:5} {check.name:{GAP}} {check.said}"
    return f"{said}\n{'':{GAP + 7}}→ {check.remedy}" if check.remedy else said


def advised(advice: Sequence[Suggestion]) -> list[str]:
    if not advice:
        return []
    return ["", "Suggestions", *(text for each in advice for text in _advice(each))]


def summary(checks: Sequence[Check]) -> str:
    counts = {state: sum(each.state == state for each in checks) for state in ("fault", "warn")}
    told = [
        figures.counted(number, what)
        for number, what in ((counts["fault"], "fault"), (counts["warn"], "warning"))
        if number
    ]
    return f"{', '.join(told)}." if told else "All is well."


def _advice(each: Suggestion) -> Iterator[str]:
    command = f"{each.command}  " if each.command else ""
    yield f"  {command}{each.sentence}"
    yield f"      {each.basis}"
