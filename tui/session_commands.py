"""The slash commands that change the conversation or its file."""

from __future__ import annotations

from pathlib import Path

from ..engines.events import EngineError
from ..sessions.chat import Chat
from ..sessions.log import Log
from ..sessions.places import list_sessions, session_path
from .grammar import Reply, Value

LISTED = 10


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
