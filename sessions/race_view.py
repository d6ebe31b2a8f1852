"""A race as the log tells it: both lanes at one moment, and how it went."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ..engines.events import Event, Start, Step, Stop
from .bench.standing import beyond
from .bench.statistics import Ratio, ratio
from .metrics import Meter
from .race import PURPOSE
from .records import Record, Trial
from .trials import attempted
from .turns import TurnMetrics
from .verify import Verified, compare

FEWEST = 2  # rounds, of which a ratio is told where a race has as many

State = Literal["waits", "running", "replay"]
Piece = tuple[str, bool]  # a token's text, and whether it was drafted


@dataclass(frozen=True, slots=True)
class Lane:
    """One method at one moment: its answer as it comes, or its last one again at its true pace."""

    name: str
    state: State = "waits"
    number: int = 0  # of the round that is shown; 0 is the warm-up
    pieces: tuple[Piece, ...] = ()
    tokens: int = 0  # shown
    total: int | None = None  # of a whole answer, where one came to its end
    turn: TurnMetrics = field(
        default_factory=TurnMetrics
    )  # of what is shown, as a whole where that is a replay
    rounds: int = 0  # finished
    rates: tuple[float, ...] = ()  # decode tokens/s of those that have one: of several steps


@dataclass(frozen=True, slots=True)
class View:
    lanes: tuple[Lane, Lane]
    rounds: int  # that both have finished
    over: bool
    problem: str = ""  # what ended it before its time


@dataclass(frozen=True, slots=True)
class Outcome:
    """The second method beside the first, round by round."""

    names: tuple[str, str]
    ratio: Ratio  # of decode tokens/s; no value where answers come in one step
    words: Verified | None  # whether the text is the same; None before both warm-ups

    @property
    def winner(self) -> str | None:
        """The one that is faster beyond noise."""
        found = beyond(self.ratio)
        return None if not found else self.names[1] if found == "faster" else self.names[0]


class RaceMeter:
    """Folds the records from a race's beginning on; may be asked at any time."""

    def __init__(self, names: tuple[str, str], rounds: int) -> None:
        self._names = names
        self._rounds = rounds
        self._passes: dict[str, list[_Pass]] = {name: [] for name in names}
        self._last: _Pass | None = None  # goes on, or was the last to end
        self._open = False
        self._problem = ""

    def add(self, record: Record) -> None:
        if isinstance(record, Trial):
            self._open = record.purpose == PURPOSE and record.method in self._passes
            if self._open:
                self._last = _Pass(record.run)
                self._passes[record.method].append(self._last)
        elif self._open and self._last and isinstance(record, Start | Step | Stop):
            self._last.add(record)
            if isinstance(record, Stop):
                self._open = False
                self._problem = _problem(record)

    def add_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def view(self, now_ns: int, replay_from: int | None = None) -> View:
        """Both lanes run on one time, that of the pass which goes on; a race that is over is shown
        once more from `replay_from`, its end where that is None."""
        ended = self._last.ended if self._last else None
        over = ended is not None and (bool(self._problem) or self._shared_rounds == self._rounds)
        if over and ended is not None:
            elapsed = now_ns - (ended if replay_from is None else replay_from)
        else:
            elapsed = self._last.elapsed(now_ns) if self._last else 0
        one, other = (self._lane(name, elapsed, now_ns) for name in self._names)
        return View((one, other), self._shared_rounds, over, self._problem)

    def outcome(self) -> Outcome | None:
        """None where fewer rounds than FEWEST are finished, or than there are to be."""
        if self._shared_rounds < min(FEWEST, self._rounds):
            return None
        one, other = (self._by_round(name) for name in self._names)
        both = sorted(one.keys() & other.keys())
        found = ratio([other[n] for n in both], [one[n] for n in both], paired=True)
        return Outcome(self._names, found, self.words())

    def words(self) -> Verified | None:
        """Whether the text is the same; None before both warm-ups."""
        warm = [next((p for p in self._passes[n] if p.number == 0), None) for n in self._names]
        one, other = (each.events if each and each.finished else None for each in warm)
        if one is None or other is None:
            return None
        return compare(self._names[1], attempted(one), attempted(other))

    @property
    def _shared_rounds(self) -> int:
        """Whether a rate could be told of them or not."""
        one, other = ({each.number for each in self._finished(name)} for name in self._names)
        return len(one & other)

    def _finished(self, name: str) -> list[_Pass]:
        """But the warm-up."""
        return [each for each in self._passes[name] if each.number and each.finished]

    def _by_round(self, name: str) -> dict[int, float]:
        rates = {each.number: each.meter.metrics().decode_rate for each in self._finished(name)}
        return {number: rate for number, rate in rates.items() if rate}

    def _lane(self, name: str, elapsed: int, now_ns: int) -> Lane:
        passes, rates = self._passes[name], tuple(self._by_round(name).values())
        whole = [each for each in passes if each.finished]
        state: State = "running" if self._open and passes[-1:] == [self._last] else "replay"
        if state == "replay" and not whole:
            return Lane(name)
        shown = passes[-1] if state == "running" else whole[-1]
        pieces, tokens = shown.until(elapsed)
        turn = shown.meter.metrics(now_ns)
        total = whole[-1].tokens if whole else self._any_total()
        rounds = len(self._finished(name))
        return Lane(name, state, shown.number, pieces, tokens, total, turn, rounds, rates)

    def _any_total(self) -> int | None:
        """Of the other lane's answer, as the text is the same but for rounding."""
        passes = (each for name in self._names for each in self._passes[name])
        return next((each.tokens for each in passes if each.finished), None)


class _Pass:
    """One answer, with the time since its start of each piece."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Event] = []
        self.meter = Meter()
        self.pieces: list[Piece] = []
        self.began: int | None = None
        self.ended: int | None = None
        self.finished = False
        self.tokens = 0
        self._shown: list[tuple[int, int, int]] = []  # times, and the pieces and tokens by then

    def add(self, event: Start | Step | Stop) -> None:
        self.events.append(event)
        self.meter.add(event)
        match event:
            case Start():
                self.began = event.t_ns
            case Step():
                self.pieces += [(text, n < event.accepted) for n, text in enumerate(event.pieces)]
                self.tokens += len(event.tokens)
            case Stop():
                self.pieces += [(event.tail, False)] if event.tail else []
                self.ended, self.finished = event.t_ns, event.reason in ("stop", "length")
        self._shown.append((self.elapsed(event.t_ns), len(self.pieces), self.tokens))

    def elapsed(self, now_ns: int) -> int:
        """Since the request was accepted, until the end."""
        end = now_ns if self.ended is None else self.ended
        return max(0, end - self.began) if self.began is not None else 0

    def until(self, elapsed: int) -> tuple[tuple[Piece, ...], int]:
        """What had come by then: the pieces, and how many tokens they are."""
        at = bisect_right(self._shown, elapsed, key=lambda each: each[0])
        _, pieces, tokens = self._shown[at - 1] if at else (0, 0, 0)
        return tuple(self.pieces[:pieces]), tokens


def _problem(stop: Stop) -> str:
    match stop.reason:
        case "cancelled":
            return "Cancelled."
        case "error":
            return f"{stop.what} {stop.remedy}".rstrip()
        case _:
            return ""
