"""Whether what was measured reaches the limits."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...engines.measured import Measured
from .limits import BEST, ERROR, FAIL, PASS, SKIPPED, Limit

UNMEASURED = "a benchmark that measures it"


class Key(NamedTuple):
    """Of what a figure is: "" for what has no case or no method."""

    metric: str
    case: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`measured` is None where nothing was, for which `reason` is why; else it adds to it."""

    limit: Limit
    status: str
    measured: float | None
    reason: str = ""


def judge_all(limits: Sequence[Limit], values: Mapping[Key, Measured]) -> tuple[Verdict, ...]:
    return tuple(_judge(limit, _of(limit, values)) for limit in limits)


def exit_status(statuses: Collection[str]) -> int:
    """0 passed, skipped or a warning; 1 missed; 3 could not be measured for an error."""
    return 3 if ERROR in statuses else 1 if FAIL in statuses else 0


def judge(limit: Limit, found: Measured) -> Verdict:
    """A number that is none, as of results without a finite value, meets no limit. What is only
    known to exceed something can still be known to meet or to miss it."""
    if found.failed:
        return Verdict(limit, ERROR, None, found.said)
    if found.value is not None:
        known = found.value if math.isfinite(found.value) else None
        status = PASS if limit.met(found.value) else limit.missed
        return Verdict(limit, status, known, found.said)
    if found.above is None or found.above < limit.target:
        return Verdict(limit, SKIPPED, None, found.said)
    status = PASS if limit.bound == "at_least" else limit.missed
    return Verdict(limit, status, None, found.said)


def _of(limit: Limit, values: Mapping[Key, Measured]) -> dict[Key, Measured]:
    return {
        key: found
        for key, found in values.items()
        if key.metric == limit.metric
        and limit.case in ("", key.case)
        and limit.method in ("", key.method)
    }


def _judge(limit: Limit, found: Mapping[Key, Measured]) -> Verdict:
    """Of several figures on the worst of them, or on the best where that one is enough."""
    if not found:
        return Verdict(limit, SKIPPED, None, f"not measured; run {limit.command or UNMEASURED}")
    choose = min if limit.of == BEST else max
    verdicts = [(judge(limit, each), key) for key, each in found.items()]
    chosen, key = choose(verdicts, key=lambda pair: _badness(pair[0], limit.of))
    if len(found) == 1:
        return chosen
    where = ", ".join(filter(None, (key.case, key.method)))
    said = f"the {'best' if limit.of == BEST else 'worst'} of {len(found)}: {where}"
    return replace(chosen, reason="; ".join(filter(None, (said, chosen.reason))))


def _badness(verdict: Verdict, of: str) -> tuple[int, float]:
    """What misses most last. What was not measured is neither the best nor the worst."""
    unmeasured = 4 if of == BEST else 0
    rank = {SKIPPED: unmeasured, PASS: 1, verdict.limit.missed: 2, ERROR: 3}[verdict.status]
    sign = -1 if verdict.limit.bound == "at_least" else 1
    return rank, math.inf if verdict.measured is None else sign * verdict.measured
