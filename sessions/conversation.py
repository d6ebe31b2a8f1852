"""The conversation that a list of records amounts to: what was said, and the settings in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from ..engines.events import Chunk, Message, Reason, Step, Stop
from ..engines.options import OptionError, Sampling, Spec, from_record, to_record
from .records import Clear, Header, Record, Setting, TrialGate, Turn, Undo

SPEC_NAMES = frozenset(each.name for each in fields(Spec))
SAMPLING_NAMES = frozenset(each.name for each in fields(Sampling))


@dataclass(slots=True)
class Exchange:
    """One turn: what the person sent and what came back so far."""

    turn_id: int
    user: str
    pieces: list[str] = field(default_factory=list)
    reason: Reason | None = None  # None while it streams, or where the log ends in mid-answer

    @property
    def answer(self) -> str:
        return "".join(self.pieces)


@dataclass(slots=True)
class Conversation:
    """Changes only through `apply`, so that a reopened log gives the same conversation."""

    spec: Spec
    sampling: Sampling
    system: str | None = None  # None is the template's own default
    exchanges: list[Exchange] = field(default_factory=list)
    turns: int = 0  # ever taken, undone ones included
    _gate: TrialGate = field(default_factory=TrialGate)

    def apply(self, record: Record) -> None:
        """Raises OptionError, and changes nothing, for a setting that is out of range."""
        if self._gate.outside(record):
            self._apply(record)

    def _apply(self, record: Record) -> None:
        match record:
            case Header():
                self.spec, self.sampling = record.spec, record.sampling
            case Setting():
                self._set(record)
            case Turn():
                self.turns = record.turn_id
                self.close_unanswered()
                self.exchanges.append(Exchange(record.turn_id, record.text))
            case Step() if self.exchanges:
                self.exchanges[-1].pieces.extend(record.pieces)
            case Chunk() if self.exchanges:
                self.exchanges[-1].pieces.append(record.text)
            case Stop() if self.exchanges and self.exchanges[-1].reason is None:
                self.exchanges[-1].pieces.append(record.tail)
                self.exchanges[-1].reason = record.reason
            case Undo() if self.exchanges:
                self.exchanges.pop()
            case Clear():
                self.exchanges.clear()
            case _:
                pass

    @property
    def trying(self) -> bool:
        """The last message is answered again, beside the conversation."""
        return self._gate.inside

    def messages(self) -> tuple[Message, ...]:
        """The conversation as it was when the last message was sent, for a chat template. An
        exchange that brought no text (cancelled at once, or an error such as a prompt too long)
        is left out, or it would repeat its fault."""
        said = [Message("system", self.system)] if self.system is not None else []
        for exchange in self.exchanges[:-1]:
            if exchange.answer:
                said.append(Message("user", exchange.user))
                said.append(Message("assistant", exchange.answer))
        return (*said, *(Message("user", last.user) for last in self.exchanges[-1:]))

    def close_unanswered(self) -> None:
        """A log may end in mid-answer: the program was ended, and what came counts as cancelled."""
        if self.exchanges and self.exchanges[-1].reason is None:
            self.exchanges[-1].reason = "cancelled"

    def _set(self, setting: Setting) -> None:
        name, value = setting.name, setting.value
        if name in SPEC_NAMES:
            self.spec = from_record(Spec, to_record(self.spec) | {name: value})
        elif name in SAMPLING_NAMES:
            self.sampling = from_record(Sampling, to_record(self.sampling) | {name: value})
        elif name == "system" and (value is None or isinstance(value, str)):
            self.system = value
        else:
            raise OptionError(f"There is no setting {name!r} of this kind.")


def conversation(records: Iterable[Record], spec: Spec, sampling: Sampling) -> Conversation:
    """Replays `records`; a setting that this version refuses is skipped."""
    told = Conversation(spec, sampling)
    for record in records:
        try:
            told.apply(record)
        except OptionError:
            continue
    told.close_unanswered()
    return told
