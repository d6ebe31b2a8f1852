"""Starts a chat in this terminal: full screen, or line by line."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..engines.events import EngineError, Sample
from ..engines.options import Sampling, Spec
from ..engines.process import ProcessEngine
from ..sessions.bench.plan import Value
from ..sessions.chat import Chat, header
from ..sessions.config import Config
from ..sessions.config_file import save_preferences
from ..sessions.log import Log
from ..sessions.machine import Poller, Sampler
from ..sessions.places import session_folder
from .commands import session as session_commands
from .headless.plain import tell

if TYPE_CHECKING:
    from .app import TokenhudApp

PROBLEMS_TOLD = 3  # of the config file; /settings has them all
EMPTY: Mapping[str, Value] = MappingProxyType({})


def chat_in_terminal(
    spec: Spec,
    sampling: Sampling,
    system: str | None,
    load: str | None,
    plain: bool,
    typed: Mapping[str, Value],
    config: Config,
) -> int:
    """`typed` holds over what a loaded session says. Returns the exit status. Raises EngineError
    where there is no terminal for a full screen."""
    if not plain:
        _need_screen()
    chat = open_chat(spec, sampling, system, load, typed)
    poller = watch(chat)
    poller.start()
    try:
        if plain:
            from .headless.plain import plain_chat

            tell(sys.stderr, "\n".join(config.problems))
            return plain_chat(chat)
        app = _full_screen(chat, config)
        app.run(mouse=not os.environ.get("STY"))  # GNU screen holds Esc back where it has a mouse
        return app.return_code or 0
    finally:
        poller.stop()
        chat.close()
        saved = chat.log.left_at
        if saved:
            name = saved.stem if saved.parent == session_folder() else str(saved)
            told = "Saved." if not chat.log.warning else "The end of this chat is not saved."
            with suppress(OSError):  # the terminal may be gone
                tell(sys.stderr, f"{told} To go on: tokenhud --load {shlex.quote(name)}")


def _full_screen(chat: Chat, config: Config) -> TokenhudApp:
    from .app import TokenhudApp

    return TokenhudApp(
        chat,
        preferences=config.preferences,
        remember=partial(save_preferences, config.path),
        notices=config.problems[:PROBLEMS_TOLD],
    )


def open_chat(
    spec: Spec,
    sampling: Sampling,
    system: str | None = None,
    load: str | None = None,
    typed: Mapping[str, Value] = EMPTY,
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
        for name, value in typed.items():
            if getattr(chat.spec, name, getattr(chat.sampling, name, None)) != value:
                chat.set(name, value)
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
    if os.environ.get("TEXTUAL_DRIVER"):  # a browser is the screen: see serving.py
        return
    here = sys.stdin.isatty() and sys.stdout.isatty()
    if not here or os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise EngineError(
            "A full screen needs a terminal.",
            "Use `tokenhud --plain` to chat line by line, or `tokenhud ask TEXT` for one answer.",
        )
