"""Starts a chat in this terminal: full screen, or line by line."""

from __future__ import annotations

import os
import sys

from ..engines.events import EngineError, Sample
from ..engines.options import Sampling, Spec
from ..engines.process import ProcessEngine
from ..sessions.chat import Chat, header
from ..sessions.log import Log
from ..sessions.machine import Poller, Sampler
from ..sessions.places import session_folder
from . import session_commands


def chat_in_terminal(
    spec: Spec, sampling: Sampling, system: str | None, load: str | None, plain: bool
) -> int:
    """Returns the exit status. Raises EngineError where there is no terminal for a full screen."""
    if not plain:
        _need_screen()
    chat = open_chat(spec, sampling, system, load)
    poller = watch(chat)
    poller.start()
    try:
        if plain:
            from .plain import plain_chat

            return plain_chat(chat)
        from .app import TokenhudApp

        return TokenhudApp(chat).run() or 0
    finally:
        poller.stop()
        chat.close()


def open_chat(
    spec: Spec, sampling: Sampling, system: str | None = None, load: str | None = None
) -> Chat:
    """A chat on an engine process of its own, logged in the session folder."""
    chat = Chat(
        ProcessEngine(), Log.create(session_folder(), header(spec, sampling)), spec, sampling
    )
    if load is not None:
        reply = session_commands.load(chat, (load,))
        if not reply.ok:
            chat.close()
            raise EngineError(reply.text)
    if system is not None:
        chat.set("system", system)
    return chat


def watch(chat: Chat) -> Poller:
    """Readings of the machine for this chat, once started."""
    sampler = Sampler(chat.engine.pid)

    def observe(sample: Sample) -> None:
        sampler.pid = chat.engine.pid  # another one after a restart
        chat.observe(sample)

    return Poller(sampler, observe)


def _need_screen() -> None:
    here = sys.stdin.isatty() and sys.stdout.isatty()
    if not here or os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise EngineError(
            "A full screen needs a terminal.",
            "Use `tokenhud --plain` to chat line by line, or `tokenhud ask TEXT` for one answer.",
        )
