"""From a saved chat to the cases of an experiment: the same messages, after the same history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...engines.events import EngineError, Loaded, Start, Stop
from ...engines.options import OptionError, Sampling, Spec
from ..clean import one_line
from ..conversation import Conversation
from ..reading import Problem, read
from ..records import Clear, Record, TrialGate, Turn, Undo
from .plan import Case, differences
from .runs import turn_case

TOLD = 20  # problems


@dataclass(frozen=True, slots=True)
class Replay:
    """What a chat was, as cases; `spec` and `sampling` are those of its first answer."""

    cases: tuple[Case, ...]
    spec: Spec
    sampling: Sampling
    loaded: Loaded | None  # the weights that answered last
    problems: tuple[Problem, ...]  # the first lines that could not be read: the chat is partial
    unread: int = 0  # how many there are


def read_replay(path: Path) -> Replay:
    """Raises EngineError where the file is no log, or holds no answer that came to its end."""
    teller, problems, unread = _Teller(), [], 0
    for each in read(path):
        if isinstance(each, Problem):
            unread += 1
            problems += [each] if unread <= TOLD else []
        else:
            teller.apply(each)
    found = _replay(teller, tuple(problems), one_line(str(path)))
    return replace(found, unread=unread)


def replay(records: Iterable[Record]) -> Replay:
    """As `read_replay`, of a chat in memory."""
    teller = _Teller()
    for each in list(records):
        teller.apply(each)
    return _replay(teller, (), "This chat")


def digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replay(teller: _Teller, problems: tuple[Problem, ...], name: str) -> Replay:
    if teller.base is None or all(each.skip for each in teller.cases):
        raise EngineError(f"{name} has no answer that came to its end.", "Replay another chat.")
    spec, sampling = teller.base
    return Replay(tuple(teller.cases), spec, sampling, teller.loaded, problems)


@dataclass(slots=True)
class _Teller:
    """Follows a chat record by record; holds its texts, and of one answer at a time the rest."""

    cases: list[Case] = field(default_factory=list)
    base: tuple[Spec, Sampling] | None = None
    loaded: Loaded | None = None
    _told: Conversation = field(default_factory=lambda: Conversation(Spec(), Sampling()))
    _gate: TrialGate = field(default_factory=TrialGate)
    _said: list[int | None] = field(default_factory=list)  # a case for each exchange, if it has one
    _picked: Sampling | None = None  # of the answer under way, its seed included
    _asked: tuple[Spec, Sampling] = field(default_factory=lambda: (Spec(), Sampling()))
    _system: str | None = None
    _names: set[str] = field(default_factory=set)

    def apply(self, record: Record) -> None:
        if not self._gate.outside(record):
            return
        answering = bool(self._told.exchanges) and self._told.exchanges[-1].reason is None
        try:
            self._told.apply(record)
        except OptionError:
            return  # of another version, as when a chat is resumed
        match record:
            case Turn():
                self._said.append(None)
                self._asked, self._picked = (self._told.spec, self._told.sampling), None
                self._system = self._told.system
            case Start():
                self._picked = record.sampling
            case Loaded():
                self.loaded = record
            case Stop() if answering:
                self._answered(record)
            case Undo() if self._said:
                self._said.pop()
            case Clear():
                self._said.clear()
            case _:
                pass

    def _answered(self, stop: Stop) -> None:
        """An exchange that brought no text is no part of a later prompt, so it is no case either
        unless it came to its end."""
        exchange = self._told.exchanges[-1]
        exchange.pieces = [exchange.answer]  # of a long chat, millions of pieces
        ended = stop.reason in ("stop", "length")
        if not ended and not exchange.answer:
            return
        spec, sampling = self._asked[0], self._picked or self._asked[1]
        if self.base is None:
            self.base = spec, sampling
        self.cases.append(
            Case(
                name=self._name(exchange.turn_id),
                text=exchange.user,
                after=next((at for at in reversed(self._said[:-1]) if self._has_text(at)), None),
                reply=exchange.answer,
                system=self._system,
                changes=differences(self.base[0], spec) | differences(self.base[1], sampling),
                skip=not ended,
            )
        )
        self._said[-1] = len(self.cases) - 1

    def _name(self, turn_id: int) -> str:
        """A log that was put together may number two turns alike."""
        name = turn_case(turn_id)
        name = name if name not in self._names else f"{name}, case {len(self.cases) + 1}"
        self._names.add(name)
        return name

    def _has_text(self, at: int | None) -> bool:
        return at is not None and bool(self.cases[at].reply)
