"""/doctor, in a chat: the engine looked at is the chat's own."""

from __future__ import annotations

from collections.abc import Iterator

from ...engines.events import Event, Loaded, Progress, Stop
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.doctor.check import Check
from ...sessions.doctor.engine import GROUP, load_check, secret
from ...sessions.doctor.examine import examine
from ...sessions.gpu import Gpu
from ...sessions.known import around, known
from ...sessions.metrics import turn_metrics
from ...sessions.suggestions import suggestions
from ...sessions.summary import session_metrics, split_turns
from ..headless.doctor_words import advised, line, summary
from .grammar import Command, Live, Reply, Told, Value


def doctor(chat: Chat, _: tuple[Value, ...]) -> Reply:
    return Reply("", job=lambda: _examined(chat))


def _examined(chat: Chat) -> Told:
    gpu = Gpu()
    checks: list[Check] = []
    for told in (*examine(gpu), *secret(chat.spec)):
        checks.append(told)
        yield Live(_listed(checks))
    for each in _engine(chat):
        if isinstance(each, Check):
            checks.append(each)
        else:
            yield each
    yield Live(_listed(checks))
    advice = suggestions(known(chat.spec, list(chat.log.records), around(gpu)))
    yield "\n".join([*advised(advice), "", summary(checks)]).lstrip("\n")


def _listed(checks: list[Check]) -> str:
    return "\n".join(map(line, checks))


def _engine(chat: Chat) -> Iterator[Check | Progress]:
    """Loads what the next answer needs: a server is asked again whether it is there."""
    event: Event | None = None
    for event in chat.load():
        if isinstance(event, Progress):
            yield event
    match event:
        case Loaded():
            yield load_check(event)
            yield _answers(chat)
        case Stop(what=what, remedy=remedy) if what:
            yield Check(GROUP, "load", "fault", one_line(what), one_line(remedy))
        case _:
            yield Check(GROUP, "load", "warn", "It was cancelled.", "/doctor looks again.")


def _answers(chat: Chat) -> Check:
    told = session_metrics(turn_metrics(each.events) for each in split_turns(chat.log.records))
    if not told.measured:
        said = "No warm answer in this chat yet, so no speed is known."
        return Check(GROUP, "answers", "note", said)
    answers, rate = figures.counted(told.measured, "answer"), figures.rate(told.decode_rate)
    return Check(GROUP, "answers", "ok", f"{rate} tok/s over {answers} of this chat.")


DOCTOR: tuple[Command, ...] = (
    Command(
        "doctor",
        "what is right here and what is not, with what to do, and what would be faster",
        doctor,
        example="/doctor",
    ),
)
