"""The slash commands that change the conversation or its file."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from ..engines.events import EngineError
from ..sessions import figures
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.log import Log
from ..sessions.places import list_sessions, locate, session_folder
from .grammar import Reply, Value

LISTED = 10
PROBLEMS_TOLD = 3


def undo(chat: Chat, _: tuple[Value, ...]) -> Reply:
    taken = chat.undo()
    if not taken:
        return Reply("There is no turn to take back.", ok=False)
    told = f"Turn {taken.turn_id} is taken back; its text is in the input."
    return Reply(told, f"prefill:{taken.user}")


def retry(chat: Chat, _: tuple[Value, ...]) -> Reply:
    taken = chat.undo()
    if not taken:
        return Reply("There is no message to answer again.", ok=False)
    return Reply("", f"send:{taken.user}")


def save(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        where = chat.log.path or chat.log.warning or "nowhere yet: nothing has been said"
        return Reply(f"This session is kept in {one_line(str(where))}. /save NAME names it.")
    name = str(values[0])
    try:
        if name.startswith(("/", "~")):
            path = chat.log.save_as(locate(name, session_folder()))
        else:
            path = chat.log.rename(name)
    except EngineError as error:
        return Reply(str(error), ok=False)
    return Reply(f"This session is now {one_line(str(path))}.")


def load(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return Reply(_listing())
    try:
        log = Log.open(_existing(str(values[0])))
    except EngineError as error:
        return Reply(str(error), ok=False)
    chat.resume(log)
    told = [f"{one_line(str(log.path))}: {len(chat.exchanges)} turns.", *_problems(log)]
    return Reply("\n".join(told), "reload")


def _existing(name: str) -> Path:
    folder = session_folder()
    path = locate(name, folder)
    if not path.exists():
        near = get_close_matches(name, [each.name for each in list_sessions(folder)], n=1)
        remedy = f"Did you mean {near[0]}?" if near else "/load lists them."
        raise EngineError(f"There is no session {one_line(name, 60)}.", remedy)
    return path


def _listing() -> str:
    sessions = list_sessions(session_folder())
    if not sessions:
        return "No session is saved yet."
    lines = [
        f"{datetime.fromtimestamp(each.modified):%Y-%m-%d %H:%M}"
        f"  {figures.size(each.size):>9}  {one_line(each.name)}"
        for each in sessions[:LISTED]
    ]
    more = len(sessions) - LISTED
    return "\n".join([*lines, *([f"and {more} older ones"] if more > 0 else [])])


def _problems(log: Log) -> list[str]:
    told = [f"Noticed: {one_line(str(each))}." for each in log.problems[:PROBLEMS_TOLD]]
    more = len(log.problems) - PROBLEMS_TOLD
    if more > 0:
        told.append(f"{more} more lines like these.")
    if log.left_out:
        told.append(f"{log.left_out} lines of this long log stay on disk and are not shown.")
    return told
