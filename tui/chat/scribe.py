"""Writes into the transcript what the records of a session say."""

from __future__ import annotations

from collections.abc import Sequence

from ...engines.events import Chunk, Loaded, Prefill, Preview, Served, Start, Step, Stop
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.conversation import Exchange
from ...sessions.records import Record, TrialGate, Turn
from ...sessions.saved import saved_turns
from ...sessions.turns import TurnMetrics
from .readings import Readings
from .steps import HEADER, step_line
from .transcript import Answer, Note, Transcript

MARK = "▸"  # before what the person said
REWRITTEN = 30  # turns
PREVIEWED = 400  # characters
SHOWN_STEPS = 12  # of the answer that streams, with /debug on


class Scribe:
    """Reads the log from where it stopped; knows what the last records left open."""

    def __init__(self, transcript: Transcript) -> None:
        self.debug = False
        self.readings = Readings()
        self._transcript = transcript
        self._records: Sequence[Record] = ()
        self._read = 0
        self._gate = TrialGate()
        self._answer: Answer | None = None
        self._steps: list[str] = []
        self._steps_note: Note | None = None
        self._preview: Note | None = None  # the best beam beyond what is settled
        self._live: Note | None = None  # what a job says as it grows
        self._last_ns = 0  # of the step before
        self._explained: set[str] = set()

    def catch_up(self, records: Sequence[Record]) -> None:
        """Writes the records that are new."""
        if records is not self._records:
            self._records, self._read, self.readings = records, 0, Readings()
            self._gate = TrialGate()
        new = records[self._read :]
        self._read += len(new)
        for record in new:
            self.readings.add(record)
            if self._gate.outside(record):
                self._write(record)

    def say(self, text: str, style: str = "notice", mark: str = "•") -> None:
        self.end_live()
        self._transcript.add(Note(text, style, mark))

    def say_live(self, text: str) -> None:
        """In place of what was said so before it."""
        if self._live is None:
            self._live = Note("", "notice", "•")
            self._transcript.add(self._live)
        self._live.text = text
        self._transcript.changed()

    def end_live(self) -> None:
        self._live = None

    def end_job(self) -> None:
        self.readings.progress = None
        self.end_live()

    def rewrite(self, chat: Chat) -> None:
        """The conversation as it stands now, after turns were taken back or a log was loaded."""
        if chat.log.records is self._records:
            self.catch_up(self._records)
        self._transcript.clear()
        if chat.log.records is not self._records:  # a log was loaded: its figures come with it
            self._records = chat.log.records
            self.readings = Readings.of(self._records)
        self._read = len(self._records)
        self._answer = None
        self._transcript.fold(len(chat.exchanges[:-REWRITTEN]))
        costs = {each.turn.turn_id: each.metrics for each in saved_turns(self._records)}
        for exchange in chat.exchanges[-REWRITTEN:]:
            self._rewrite_turn(exchange, costs.get(exchange.turn_id))

    def _rewrite_turn(self, exchange: Exchange, cost: TurnMetrics | None) -> None:
        answer = Answer()
        answer.append(exchange.answer)
        answer.finish()
        self._transcript.add(Note(exchange.user, "user", MARK))
        self._transcript.add(answer)
        if cost and exchange.reason:
            self._transcript.add(Note(figures.turn_line(cost), "dim"))

    def _write(self, record: Record) -> None:
        match record:
            case Turn():
                self._answer = Answer()
                self._transcript.add(Note(record.text, "user", MARK))
                self._transcript.following = True
            case Loaded():
                took = figures.elapsed(record.load_ns)
                self.say(f"{one_line(record.model.name)} is ready after {took}.")
            case Start():
                self._last_ns, self._steps = record.t_ns, []
                for note in record.notes:
                    self.say(note)
            case Prefill():
                self._last_ns = record.t_ns
            case Step() | Chunk() | Served() | Preview():
                self._go_on(record)
            case Stop():
                self._stop(record)
            case _:
                pass

    def _go_on(self, event: Step | Chunk | Served | Preview) -> None:
        match event:
            case Step():
                self._step(event)
            case Chunk():
                self._add(event.text)
            case Served():
                self._explain(event.notes)
            case Preview():
                self._show_preview(event.text)

    def _add(self, text: str, drafted: bool = False) -> None:
        if self._answer:
            self._show_answer(self._answer)
            self._answer.append(text, drafted)
            self._transcript.changed()

    def _show_answer(self, answer: Answer) -> None:
        """Once it begins: what is noted before that stands over it."""
        if answer not in self._transcript.entries:
            self._transcript.add(answer)

    def _explain(self, notes: Sequence[str]) -> None:
        """Why figures of a server are absent, each once."""
        for note in notes:
            if note not in self._explained:
                self._explained.add(note)
                self.say(note)

    def _step(self, step: Step) -> None:
        self._add("".join(step.pieces[: step.accepted]), drafted=True)
        self._add("".join(step.pieces[step.accepted :]))
        if self._answer:
            self._answer.rejected = step.rejected
        if self.debug:
            self._show_step(step)
        self._last_ns = step.t_ns

    def _show_step(self, step: Step) -> None:
        width = self._transcript.columns
        self._steps.append(step_line(step, step.t_ns - self._last_ns, width))
        if self._steps_note is None:
            self._steps_note = Note("", "dim")
            self._transcript.add(self._steps_note)
        self._steps_note.text = "\n".join([HEADER[:width], *self._steps[-SHOWN_STEPS:]])

    def _show_preview(self, text: str) -> None:
        if self._preview is None:
            self._preview = Note("", "dim", "…", tight=True)
            self._transcript.add(self._preview)
        self._preview.text = one_line(text, PREVIEWED)
        self._transcript.changed()

    def _stop(self, stop: Stop) -> None:
        self._steps_note = None
        if self._preview:
            self._transcript.take_out(self._preview)
            self._preview = None
        answer, self._answer = self._answer, None
        if answer:
            self._show_answer(answer)
            answer.append(stop.tail)
            answer.finish()
            self._transcript.changed()
            turn, gain = self.readings.meter.metrics(), self.readings.measured.speedup
            self._transcript.add(Note(figures.turn_line(turn, gain), "dim"), after=answer)
        elif stop.reason == "cancelled":
            self.say("Loading is cancelled; the next message starts it again.")
        if stop.reason == "error":
            self.say(f"{stop.what} {stop.remedy}".rstrip(), "error", "!")
