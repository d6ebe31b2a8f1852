"""The line in which saved sessions are searched: names at once, messages after a pause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input
from textual.worker import get_current_worker

from ...sessions import figures
from ...sessions.places import Session
from ...sessions.search import Hit, Words, search_all
from ..beside import beside

PAUSE = 0.7  # seconds without a key
EVERY = 0.25  # seconds between two words on how far it is


class SessionSearch(Input):
    @dataclass
    class Found(Message):
        """A message or answer that has the words."""

        session: Session
        hit: Hit
        words: Words

    @dataclass
    class Went(Message):
        """How far it is, in words."""

        told: str
        words: Words

    def __init__(self, text: str) -> None:
        super().__init__(text, placeholder="search names and messages", id="search")
        self.words: Words | None = None  # that messages are searched for
        self.hits: dict[str, list[Hit]] = {}  # by session
        self._pause: Timer | None = None

    def names(self, sessions: Sequence[Session]) -> list[Session]:
        """Those whose names have the words, or in which they were found."""
        words = self.value.casefold().split()
        return [
            each
            for each in sessions
            if each.name in self.hits or all(word in each.name.casefold() for word in words)
        ]

    def search_soon(self, sessions: Sequence[Session]) -> None:
        """Unless it is told to search, or to stop, before."""
        self.stop()
        self._pause = self.set_timer(PAUSE, partial(self.search_now, sessions))

    def search_now(self, sessions: Sequence[Session]) -> None:
        self.stop()
        if self.value.strip():
            self.words = Words(self.value)
            search = partial(self._search, self.words, sessions)
            beside(self, search, exclusive=True)

    def stop(self) -> None:
        if self._pause:
            self._pause.stop()
        self.workers.cancel_node(self)
        self.words, self.hits = None, {}

    def take(self, found: Found) -> list[Hit]:
        """Notes a hit; returns all of its session, none where another search has begun."""
        if found.words is not self.words:
            return []
        hits = self.hits.setdefault(found.session.name, [])
        hits.append(found.hit)
        return hits

    def _search(self, words: Words, sessions: Sequence[Session]) -> None:
        worker, due, hits, unread = get_current_worker(), 0.0, 0, 0
        for each in search_all(sessions, words):
            if worker.is_cancelled:
                return
            unread += bool(each.fault)
            hits += bool(each.hit)
            if each.hit:
                self.post_message(self.Found(each.session, each.hit, words))
            elif time.monotonic() >= due:
                due = time.monotonic() + EVERY
                told = f"searching {each.done:,} of {len(sessions):,} · {_told(hits, unread)}"
                self.post_message(self.Went(f"{told} · Esc ends it", words))
        self.post_message(self.Went(f"in messages: {_told(hits, unread)}", words))


def _told(hits: int, unread: int) -> str:
    missed = f" · {figures.counted(unread, 'session')} could not be read" if unread else ""
    return figures.counted(hits, "hit") + missed
