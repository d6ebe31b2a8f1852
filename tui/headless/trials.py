"""/verify, /tune and /compare without a screen, on one message."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict
from typing import TypeVar

from ...engines.events import EngineError, Event, Progress, Stop
from ...engines.finishing import finished
from ...engines.options import Sampling, Spec
from ...engines.process import ProcessEngine
from ...sessions.chat import Chat, header
from ...sessions.log import Log
from ...sessions.quant import compare_quant
from ...sessions.trials import CancelledError
from ...sessions.tune import tune
from ...sessions.verify import Verified, verify
from ..commands.quant import quant_json, quant_table
from ..commands.trial import tune_table, verdict_line
from .ask import question_of, words
from .plain import cancelled_by_interrupt, end_progress, progress

SAME, DIFFERENT, UNTRIED, FAILED = 0, 1, 2, 3
T = TypeVar("T")


def verify_text(
    text: str, spec: Spec, sampling: Sampling, system: str | None, as_json: bool
) -> int:
    """Exit status: 0 all the same or near-ties, 1 one differs, 2 no drafter could be tried, 3 it
    was cancelled."""
    return _tried(_asked(text, spec, sampling, system), lambda chat: _verified(chat, as_json))


def tune_text(text: str, spec: Spec, sampling: Sampling, system: str | None, as_json: bool) -> int:
    """Exit status: 0, or 3 where it was cancelled. Raises EngineError."""
    return _tried(_asked(text, spec, sampling, system), lambda chat: _tuned(chat, as_json))


def compare_text(
    text: str, spec: Spec, sampling: Sampling, system: str | None, as_json: bool
) -> int:
    """Without a text on built-in prompts. Exit status: 0, or 3 where it was cancelled. Raises
    EngineError."""
    question = words(text)
    chat = _chat(spec, sampling, system)
    return _tried(
        _answered(chat, question) if question else chat, lambda chat: _compared(chat, as_json)
    )


def _tried(chat: Chat, job: Callable[[Chat], int]) -> int:
    try:
        with cancelled_by_interrupt(chat):
            return job(chat)
    except CancelledError:
        return FAILED
    finally:
        chat.close()


def _verified(chat: Chat, as_json: bool) -> int:
    verdicts: list[Verified] = []
    for each in verify(chat):
        if isinstance(each, Progress):
            progress(each, sys.stderr)
        else:
            verdicts.append(each)
            end_progress(sys.stderr)
            if not as_json:
                print(verdict_line(each), flush=True)
    if as_json:
        print(json.dumps([asdict(each) for each in verdicts], allow_nan=False))
    found = {each.verdict for each in verdicts}
    return DIFFERENT if "different" in found else SAME if found - {"skipped"} else UNTRIED


def _tuned(chat: Chat, as_json: bool) -> int:
    points = _shown(tune(chat))
    if as_json:
        print(json.dumps([asdict(each) for each in points], allow_nan=False))
    else:
        print(tune_table(chat.spec.drafter, points))
    return SAME


def _compared(chat: Chat, as_json: bool) -> int:
    comparison = _shown(compare_quant(chat))
    print(quant_json(comparison) if as_json else quant_table(comparison))
    return SAME


def _asked(text: str, spec: Spec, sampling: Sampling, system: str | None) -> Chat:
    """A chat with one answered message."""
    question = question_of(text)
    return _answered(_chat(spec, sampling, system), question)


def _chat(spec: Spec, sampling: Sampling, system: str | None) -> Chat:
    chat = Chat(ProcessEngine(), Log.in_memory(header(spec, sampling)), spec, sampling)
    if system is not None:
        chat.set("system", system)
    return chat


def _answered(chat: Chat, question: str) -> Chat:
    """Closed where it raises EngineError."""
    last: Event | None = None
    with cancelled_by_interrupt(chat):
        for last in chat.ask(question):
            progress(last, sys.stderr)
    if isinstance(last, Stop) and last.reason in ("error", "cancelled"):
        chat.close()
        raise EngineError(last.what or "Cancelled.", last.remedy)
    return chat


def _shown(steps: Generator[Progress, None, T]) -> T:
    result = finished(steps, lambda step: progress(step, sys.stderr))
    end_progress(sys.stderr)
    return result
