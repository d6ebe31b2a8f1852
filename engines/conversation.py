"""Conversations made to fit a template that takes less than the whole of a chat."""

from __future__ import annotations

from .events import EngineError
from .template import Chat, Template

SYSTEM_FOLDED = "The model's template takes no system message, so it leads the first user message."
TURNS_MERGED = (
    "The model's template wants alternating turns, so neighbours of one role were merged."
)


class Conversation:
    """One template, and whether it takes a system message: some refuse it, some drop it."""

    def __init__(self, template: Template) -> None:
        self._template = template
        probe = self._tried([("system", "PROBE"), ("user", "x")])
        self._takes_system = "PROBE" in probe

    def text(self, chat: Chat) -> tuple[str, list[str]]:
        """The rendered chat, and in sentences what was done to make it fit."""
        notes = []
        if not self._takes_system and any(each["role"] == "system" for each in chat):
            chat = _folded(chat)
            notes.append(SYSTEM_FOLDED)
        try:
            return self._template.render(chat), notes
        except EngineError:
            merged = _alternating(chat)
            if merged == chat:
                raise
            return self._template.render(merged), [*notes, TURNS_MERGED]

    def after_answer(self) -> str:
        """What the template writes between an assistant's words and the next user's."""
        text = self._tried([("user", "x"), ("assistant", "PROBE"), ("user", "NEXT")])
        return text.partition("PROBE")[2].partition("NEXT")[0]

    def _tried(self, turns: list[tuple[str, str]]) -> str:
        try:
            return self._template.render([{"role": r, "content": c} for r, c in turns], False)
        except EngineError:
            return ""


def _folded(chat: Chat) -> Chat:
    """The system messages at the head of the first user message."""
    system = "\n\n".join(each["content"] for each in chat if each["role"] == "system")
    rest = [dict(each) for each in chat if each["role"] != "system"]
    first = next((each for each in rest if each["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *rest]
    first["content"] = f"{system}\n\n{first['content']}" if system else first["content"]
    return rest


def _alternating(chat: Chat) -> Chat:
    """Without empty answers, and with neighbours of one role as one message."""
    turns: Chat = []
    for each in chat:
        if each["role"] == "assistant" and not each["content"].strip():
            continue
        if turns and turns[-1]["role"] == each["role"]:
            turns[-1] = each | {"content": f"{turns[-1]['content']}\n\n{each['content']}"}
        else:
            turns.append(each)
    return turns
