"""/copy: an answer, a block of its code, its figures, or the whole chat."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ...engines.events import EngineError
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import clean, one_line
from ...sessions.costs import measured_speedup
from ...sessions.export_text import write_markdown
from ...sessions.log import read
from ...sessions.records import last_loaded
from ...sessions.saved import saved_turns
from ...sessions.turns import TurnMetrics
from ..chat.blocks import parse
from . import grammar
from .grammar import Command, Reply, Value

Item = TypeVar("Item")
MOST = 1_000  # answers or blocks


def copy_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    what = str(values[0]) if values else "answer"
    try:
        return _COPIES[what](chat, int(str(values[1])) if len(values) > 1 else 1)
    except EngineError as error:
        return Reply(str(error), ok=False)


def code_blocks(answer: str) -> list[str]:
    """Without the line break at their end, which would run what is pasted into a shell."""
    blocks = (each for each in parse(answer) if each.type in ("fence", "code_block"))
    return [each.content.removesuffix("\n") for each in blocks]


def figures_line(turns: Sequence[TurnMetrics], model: str) -> str:
    """What answered last, how, and what it cost; "" where nothing did."""
    start = turns[-1].start if turns else None
    if start is None:
        return ""
    spec = start.spec
    held = [] if spec.url else [f"{spec.target} {figures.weights(spec)}"]
    how = figures.method(spec, start.sampling.num_beams)
    cost = figures.turn_line(turns[-1], measured_speedup(turns, spec).speedup)
    return " · ".join([one_line(model, 60), *held, how, cost])


def _answer(chat: Chat, number: int) -> Reply:
    return Reply("", f"copy:{_from_end(_answers(chat), number)}")


def _code(chat: Chat, number: int) -> Reply:
    """Of the last answer that has any."""
    found = next((blocks for each in reversed(_answers(chat)) if (blocks := code_blocks(each))), [])
    if not found:
        raise EngineError("No answer has a code block.")
    if number > len(found):
        raise EngineError(f"That answer has {figures.counted(len(found), 'code block')}.")
    told = f"Code block {number} of {len(found)}." if len(found) > 1 else ""
    return Reply(told, f"copy:{found[number - 1]}")


def _figures(chat: Chat, number: int) -> Reply:
    turns = [each.metrics for each in saved_turns(chat.log.records) if each.metrics.start]
    upto = _from_end([turns[:n] for n in range(1, len(turns) + 1)], number)
    loaded = last_loaded(chat.log.records)
    return Reply("", f"copy:{figures_line(upto, loaded.model.name if loaded else chat.spec.model)}")


def _all(chat: Chat, _: int) -> Reply:
    if not chat.exchanges:
        raise EngineError("Nothing was said yet.")
    out, path = io.StringIO(), chat.log.path
    write_markdown(path.stem if path else "chat", read(path) if path else chat.log.records, out)
    return Reply("", f"copy:{out.getvalue()}")


def _from_end(items: Sequence[Item], number: int) -> Item:
    """1 is the last."""
    if not items:
        raise EngineError("There is no answer yet.", "Send a message first.")
    if number > len(items):
        raise EngineError(f"There are no more than {figures.counted(len(items), 'answer')}.")
    return items[-number]


def _answers(chat: Chat) -> list[str]:
    return [clean(each.answer) for each in chat.exchanges if each.answer]


_COPIES: Mapping[str, Callable[[Chat, int], Reply]] = {
    "answer": _answer,
    "code": _code,
    "figures": _figures,
    "all": _all,
}
COPY: tuple[Command, ...] = (
    Command(
        "copy",
        "the last answer, its code block N, its figures, or all; N counts answers from the end",
        copy_command,
        (
            grammar.word("answer|code|figures|all", tuple(_COPIES), optional=True),
            grammar.whole("N", 1, MOST, optional=True),
        ),
        "/copy figures",
    ),
)
