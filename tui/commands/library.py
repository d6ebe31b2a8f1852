"""The slash commands of all saved sessions, and the export of this one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from ...engines.events import EngineError, Progress
from ...sessions import library
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.export import FORMS, export
from ...sessions.export_png import PNG, export_png
from ...sessions.library import find_session, glance, path_of
from ...sessions.overview import overview
from ...sessions.places import deleted_folder, list_sessions, session_folder, session_path
from ...sessions.reading import Problem, read
from ...sessions.records import Record
from ...sessions.search import Words, search_all
from ...sessions.typed_names import FOREVER, quoted, unquoted
from ..headless.session_words import NONE_DELETED, NONE_SAVED, hit_line, listing, now_named, shown
from . import grammar
from .grammar import Command, Reply, Told, Value
from .trial import told

LISTED = 10
TURNS_SHOWN = 20
HITS_SHOWN = 20
TOLD_EVERY = 0.1  # seconds


def sessions(chat: Chat, values: tuple[Value, ...]) -> Reply:
    verb, rest = str(values[0]) if values else "list", str(values[1]) if len(values) > 1 else ""
    if not rest and verb != "list":
        return Reply(f"It is /sessions {verb} {_TAKES[verb]}.", ok=False)
    if verb in _CHANGING and chat.busy:
        return Reply(grammar.at_work(f"sessions {verb}"), ok=False)
    try:
        reply = _VERBS[verb](chat, rest)
    except EngineError as error:
        return Reply(str(error), ok=False)
    return reply if values else replace(reply, action="show:sessions:")


def _list(_chat: Chat, which: str) -> Reply:
    if which not in ("", "deleted"):
        return Reply("It is /sessions list [deleted].", ok=False)

    def job() -> Told:
        folder = deleted_folder(session_folder()) if which else session_folder()
        found = list_sessions(folder)
        lines = listing([glance(each) for each in found[:LISTED]], len(found) - LISTED)
        yield lines or (NONE_DELETED if which else NONE_SAVED)

    return Reply("", job=lambda: told(job()))


def _show(_chat: Chat, name: str) -> Reply:
    path = find_session(name, session_folder())

    def job() -> Told:
        yield shown(path.stem, overview(read(path)), TURNS_SHOWN)

    return Reply("", job=lambda: told(job()))


def _search(_chat: Chat, text: str) -> Reply:
    words = Words(text)
    return Reply("", job=lambda: told(_searched(words)))


def _searched(words: Words) -> Told:
    found, hits, unread, due = list_sessions(session_folder()), 0, 0, 0.0
    for each in search_all(found, words):
        if time.monotonic() >= due:  # where it can be cancelled, so in mid-session too
            due = time.monotonic() + TOLD_EVERY
            yield Progress(time.perf_counter_ns(), "searching", each.done, len(found))
        unread += bool(each.fault)
        if each.hit:
            hits += 1
            yield hit_line(each.session.name, each.hit)
        if hits == HITS_SHOWN:
            yield f"These are the first {hits}: `tokenhud sessions search` finds all."
            return
    if not hits:
        yield "No saved message or answer has these words."
    if unread:
        yield f"{unread} could not be read: `tokenhud sessions search` names them."


def _rename(chat: Chat, text: str) -> Reply:
    try:
        name, new = shlex.split(text)
    except ValueError:
        return Reply('It is /sessions rename OLD NEW, with "quotes" around spaces.', ok=False)
    folder = session_folder()
    path = chat.log.rename(new) if _is_open(chat, name) else library.rename(name, new, folder)
    return Reply(now_named(name, path, session_path(new, folder)))


def _delete(chat: Chat, text: str) -> Reply:
    name = unquoted(text.removesuffix(FOREVER).strip())
    if _is_open(chat, name):
        return Reply("That is this session. /load another one first.", ok=False)
    if text.endswith(FOREVER):
        path = library.delete_forever(name, session_folder())
        return Reply(f"{one_line(str(path))} is removed.")
    path = library.delete(name, session_folder())
    back = f"/sessions restore {quoted(one_line(path.stem))}"
    return Reply(f"{one_line(name)} is deleted. {back} takes it back.")


def _restore(_chat: Chat, name: str) -> Reply:
    path = library.restore(unquoted(name), session_folder())
    return Reply(f"{one_line(path.stem)} is back. /load goes on with it.")


def _purge(_chat: Chat, name: str) -> Reply:
    path = library.purge(unquoted(name), session_folder())
    return Reply(f"{one_line(str(path))} is removed.")


def _is_open(chat: Chat, name: str) -> bool:
    path = chat.log.path
    return path is not None and path.resolve() == path_of(name, session_folder()).resolve()


def export_chat(chat: Chat, values: tuple[Value, ...]) -> Reply:
    form, to = str(values[0]), str(values[1]) if len(values) > 1 else ""

    def job() -> Told:
        name = chat.log.path.stem if chat.log.path else "session"
        if form == PNG:
            yield from _drawn(chat, to)
            return
        yield f"Written: {one_line(str(export(name, _kept(chat), form, to)), 2000)}"

    return Reply("", job=lambda: told(job()))


def _drawn(chat: Chat, to: str) -> Told:
    if chat.log.path is None:
        raise EngineError("A session that is not saved is not drawn.", "/save it first.")
    for picture in export_png(chat.log.path, to):
        yield f"Written: {one_line(str(picture), 2000)}"


def _kept(chat: Chat) -> Iterator[Record | Problem]:
    """All of this session: of a long one the file has more than memory."""
    return read(chat.log.path) if chat.log.path else iter(chat.log.records)


_TAKES = {
    "show": "NAME",
    "search": "WORDS",
    "rename": "OLD NEW",
    "delete": "NAME [--forever]",
    "restore": "NAME",
    "purge": "NAME",
}
_CHANGING = ("rename", "delete", "restore", "purge")
_VERBS: dict[str, Callable[[Chat, str], Reply]] = {
    "list": _list,
    "show": _show,
    "search": _search,
    "rename": _rename,
    "delete": _delete,
    "restore": _restore,
    "purge": _purge,
}
SESSIONS: tuple[Command, ...] = (
    Command(
        "sessions",
        "the saved ones: list, show NAME, search WORDS, rename OLD NEW, delete NAME, restore NAME",
        sessions,
        (
            grammar.word("VERB", tuple(_VERBS), optional=True),
            grammar.text("REST", "what the verb takes", optional=True),
        ),
        "/sessions search blue sky",
    ),
    Command(
        "export",
        "this session as csv (a row a turn), steps, json, md, text or png (its charts)",
        export_chat,
        (
            grammar.word("FORM", (*FORMS, PNG)),
            grammar.text("PATH", "a file or folder; the working folder", optional=True),
        ),
        "/export csv /tmp/chat.csv",
        idle=True,
    ),
)
