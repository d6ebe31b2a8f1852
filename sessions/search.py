"""Words in saved messages and answers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ..engines.events import EngineError
from .clean import one_line
from .places import Session
from .reading import only_records, read
from .records import Record
from .saved import saved_turns

BEFORE, AFTER = 30, 60  # characters of an excerpt around the first word


class Hit(NamedTuple):
    turn_id: int
    role: Literal["user", "assistant"]
    excerpt: str


class Looked(NamedTuple):
    """A turn of a session that was searched, or a session that can't be read."""

    session: Session
    done: int  # sessions searched before it
    hit: Hit | None = None
    fault: str = ""


class Words:
    """Words that must all stand in one text, in any order and in either case."""

    def __init__(self, text: str) -> None:
        """Raises EngineError where there is no word."""
        words = unicodedata.normalize("NFC", text).split()
        if not words:
            raise EngineError("There is nothing to search for.", "Name a word or more.")
        self._patterns = [re.compile(re.escape(each), re.IGNORECASE) for each in words]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where they stand in `text`."""
        return [found.span() for each in self._patterns for found in each.finditer(text)]

    def excerpt(self, text: str) -> str | None:
        """The surroundings of the word found first; None unless all are there."""
        text = unicodedata.normalize("NFC", text)
        found = [pattern.search(text) for pattern in self._patterns]
        if not all(found):
            return None
        begin, end = min(each.span() for each in found if each)
        left, right = max(0, begin - BEFORE), end + AFTER
        cut = f"{'…' if left else ''}{text[left:right]}{'…' if right < len(text) else ''}"
        return one_line(cut, BEFORE + AFTER + len(text[begin:end]) + 2)


def search_all(sessions: Iterable[Session], words: Words) -> Iterator[Looked]:
    """All that `search` says of each, so that who iterates may stop at any turn."""
    for done, session in enumerate(sessions):
        try:
            for hit in search(session.path, words):
                yield Looked(session, done, hit)
        except EngineError as error:
            yield Looked(session, done, fault=str(error))


def search(path: Path, words: Words) -> Iterator[Hit | None]:
    """The messages and answers of one log, undone ones too, that hold all of `words`; None for a
    turn without any. Holds one turn at a time. Raises EngineError where the file can't be read or
    is no log."""
    return _hits(only_records(read(path)), words)


def _hits(records: Iterable[Record], words: Words) -> Iterator[Hit | None]:
    for each in saved_turns(records):
        none = True
        sides: Sequence[tuple[Literal["user", "assistant"], str]] = (
            ("user", each.turn.text),
            ("assistant", each.answer),
        )
        for role, text in sides:
            excerpt = words.excerpt(text)
            if excerpt is not None:
                none = False
                yield Hit(each.turn.turn_id, role, excerpt)
        if none:
            yield None
