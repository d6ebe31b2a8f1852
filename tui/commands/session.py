"""The slash commands that change the conversation or its file."""

from __future__ import annotations

from ...engines.events import EngineError
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.library import find_session
from ...sessions.log import Log
from ...sessions.places import list_sessions, locate, session_folder
from ..headless.session_words import NONE_SAVED, names
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
        wanted = locate(name, session_folder())
        explicit = name.startswith(("/", "~"))
        path = chat.log.save_as(wanted) if explicit else chat.log.rename(name)
    except EngineError as error:
        return Reply(str(error), ok=False)
    taken = "" if path.stem == wanted.stem else f" {one_line(wanted.name)} is there already."
    return Reply(f"This session is now {one_line(str(path))}.{taken}")


def load(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return _listing()
    try:
        log = Log.open(find_session(str(values[0]), session_folder()))
    except EngineError as error:
        return Reply(str(error), ok=False)
    chat.resume(log)
    lines = [f"{one_line(str(log.path))}: {len(chat.exchanges)} turns.", *_problems(log)]
    return Reply("\n".join(lines), "reload")


def _listing() -> Reply:
    try:
        sessions = list_sessions(session_folder())
    except EngineError as error:
        return Reply(str(error), ok=False)
    listed = names(sessions[:LISTED], len(sessions) - LISTED) or NONE_SAVED
    return Reply(listed, "show:sessions:")


def _problems(log: Log) -> list[str]:
    lines = [f"Noticed: {one_line(str(each))}." for each in log.problems[:PROBLEMS_TOLD]]
    more = len(log.problems) - PROBLEMS_TOLD
    if more > 0:
        lines.append(f"{more} more lines like these.")
    if log.left_out:
        lines.append(f"{log.left_out} lines of this long log stay on disk and are not shown.")
    return lines
