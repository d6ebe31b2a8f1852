"""`tokenhud doctor`: what is right here and what is not, with what to do; then what would be
faster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from ...engines.events import Event, Loaded, Progress
from ...engines.options import Spec
from ...engines.process import ProcessEngine
from ...sessions.clean import clean
from ...sessions.doctor.check import Check, exit_status
from ...sessions.doctor.engine import self_test
from ...sessions.doctor.examine import examine
from ...sessions.gpu import Gpu
from ...sessions.known import around, known
from ...sessions.suggestions import Suggestion, suggestions
from .doctor_words import advised, line, summary
from .plain import cancelled_by_interrupt, end_progress, progress


def report_doctor(spec: Spec, quick: bool, as_json: bool) -> int:
    """`quick` leaves the engine alone. Exit status: 0, or 3 where something is at fault."""
    gpu = Gpu()
    checks: list[Check] = []
    for check in examine(gpu):
        checks.append(check)
        _say(check, as_json)
    loaded: list[Event] = []
    for told in () if quick else _tested(spec):
        if isinstance(told, Check):
            checks.append(told)
            _say(told, as_json)
        elif isinstance(told, Loaded):
            loaded.append(told)
    advice = suggestions(known(spec, loaded, around(gpu)))
    status = exit_status(checks)
    if as_json:
        print(json.dumps(as_record(checks, advice, status), allow_nan=False))
    else:
        print(clean("\n".join([*advised(advice), "", summary(checks)])))
    return status


def as_record(
    checks: Sequence[Check], advice: Sequence[Suggestion], status: int
) -> dict[str, object]:
    return {
        "checks": [each._asdict() for each in checks],
        "suggestions": [each._asdict() for each in advice],
        "exit_status": status,
    }


def _say(check: Check, as_json: bool) -> None:
    if not as_json:
        end_progress(sys.stderr)
        print(clean(line(check)), flush=True)


def _tested(spec: Spec) -> Iterator[Check | Loaded]:
    engine = ProcessEngine()
    try:
        with cancelled_by_interrupt(engine):
            for told in self_test(engine, spec):
                if isinstance(told, Progress):
                    progress(told, sys.stderr)
                else:
                    yield told
    finally:
        engine.close()
        end_progress(sys.stderr)
