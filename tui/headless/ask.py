"""One question, one answer: the answer on standard output, everything else beside it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TextIO

from ...engines.events import EngineError
from ...engines.options import Sampling, Spec, to_record
from ...engines.process import ProcessEngine
from ...sessions.chat import Chat, header
from ...sessions.log import Log
from ...sessions.metrics import turn_metrics
from ...sessions.places import explicit_path
from ...sessions.result import result
from ...sessions.summary import split_turns
from .plain import say, tell


def ask(
    text: str, spec: Spec, sampling: Sampling, system: str | None, log: Path | None, as_json: bool
) -> int:
    """Returns the exit status: 0 answered, 1 not. Raises EngineError where nothing was asked."""
    question = question_of(text)
    kept = Log.in_memory(header(spec, sampling))
    if log:
        tell(sys.stderr, f"Log: {kept.save_as(explicit_path(str(log.absolute())))}")
    chat = Chat(ProcessEngine(), kept, spec, sampling)
    try:
        if system is not None:
            chat.set("system", system)
        out: TextIO = io.StringIO() if as_json else sys.stdout
        answered = say(chat, question, out, sys.stderr)
        if as_json:
            print(json.dumps(_record(chat), ensure_ascii=False, allow_nan=False))
    finally:
        chat.close()
    return 0 if answered else 1


def question_of(text: str) -> str:
    """As `words`; raises EngineError where there are none."""
    question = words(text)
    if not question:
        raise EngineError("There is no question.", 'Use: tokenhud ask "text", or pipe it in.')
    return question


def words(text: str) -> str:
    """The words given and what a pipe brings, in this order."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    parts = [part for part in (text, piped.rstrip("\n")) if part.strip()]
    return "\n\n".join(parts)


def _record(chat: Chat) -> dict[str, object]:
    (turn,) = split_turns(chat.log.records)
    metrics = turn_metrics(turn.events)
    used = metrics.start
    return {
        "answer": chat.exchanges[-1].answer,
        **result(metrics),
        "spec": to_record(used.spec if used else chat.spec),
        "sampling": to_record(used.sampling if used else chat.sampling),
        "error": metrics.stop.what if metrics.stop and metrics.stop.what else None,
    }
