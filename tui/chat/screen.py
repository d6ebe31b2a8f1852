"""The one screen: transcript, HUD and input, and what the keys do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import TextArea
from textual.worker import Worker, WorkerError, WorkerState

from ...engines.events import EngineError, Progress
from ...sessions import figures
from ...sessions.chat import Chat
from ..beside import fault
from ..commands import table as commands
from ..commands.grammar import Call, Live, Problem, Reply, Text, Told, as_line
from ..commands.jobs import interruptible
from ..opening import Desk, opened
from .actions import act
from .completion import Completion
from .hint import Hint
from .hud import Hud
from .pace import Pace, backlog, frame_here
from .panel import loading, reading, view
from .prompt import Prompt
from .queued import Queued
from .scribe import Scribe
from .transcript import Transcript

if TYPE_CHECKING:
    from ..app import TokenhudApp

HUD_EVERY = 0.5  # seconds; faster figures cannot be read
QUIT_WITHIN = 2.0  # seconds between two Ctrl+C
LONG = 60.0  # seconds of a job, after which one key does not end it
AGAIN_WITHIN = 4.0  # seconds between two such keys
KEYS = (
    *("Enter send", "/ commands", "F1 help", "Tab explains figures", "Ctrl+C twice quits"),
    *("F2 HUD", "F3 turns", "F4 sessions", "F5 results", "Ctrl+O copies", "Ctrl+J new line"),
)
LOADING = "loading the model; what you send now waits for it"
STREAMING = "Esc cancels and keeps the text"
WORKING = "Esc ends it"
WAITS = "what you send now waits for it"


class ChatScreen(Screen[None]):
    app: TokenhudApp
    AUTO_FOCUS = "Prompt"
    BINDINGS: ClassVar = [
        Binding("ctrl+c,super+c", "interrupt", "Copy, cancel or quit", priority=True),
        Binding("escape", "escape", "Cancel", priority=True),
        Binding("ctrl+o", "copy_answer", "Copy the answer"),
        Binding("f1", "open('help')", "Help"),
        Binding("f2", "hud", "HUD"),
        Binding("f3", "open('turns')", "Turns"),
        Binding("f4", "open('sessions')", "Sessions"),
        Binding("f5", "open('results')", "Results"),
        Binding("f6", "open('engines')", "Engines", priority=True),  # the input has these two
        Binding("f7", "open('settings')", "Settings", priority=True),
    ]

    def __init__(self, chat: Chat, clock: Callable[[], int]) -> None:
        super().__init__()
        self.chat = chat
        self._clock = clock
        self.transcript = Transcript(self._folded)
        self.hud = Hud()
        self.completion = Completion()
        self.prompt: Prompt = Prompt(self.completion, chat)
        self.scribe = Scribe(self.transcript)
        self._hint = Hint()
        self._queued = Queued()
        self._worker: Worker[None] | None = None  # loads or answers; one at a time
        self._job: Told | None = None  # of a command, while the worker runs it
        self._began, self._asked = 0.0, -AGAIN_WITHIN  # it, and whether to end it
        self._interrupt = threading.Event()  # ends it
        self._warned = ""
        self._ctrl_c = -QUIT_WITHIN
        self._pace = Pace(frame_here())
        self._hud_due = 0.0

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            yield self.hud
            yield self.transcript
        yield self._queued
        yield self.prompt
        yield self._hint
        yield self.completion

    def on_mount(self) -> None:
        self.prompt.focus()
        self._show_preferences()
        for notice in self.app.notices:
            self.scribe.say(notice, mark="!")
        self._work(self.chat.load())
        self.set_interval(self._pace.frame, self._tick)

    def _tick(self) -> None:
        waiting = backlog(self.app._driver)
        if self._pace.due(time.perf_counter(), time.process_time(), waiting):
            self.paint()

    def paint(self) -> None:
        """Shows what the log has that the screen has not. The log is the only channel."""
        began, cpu = time.perf_counter(), time.process_time()
        self.scribe.catch_up(self.chat.log.records)
        if self.chat.log.warning != self._warned:
            self._warned = self.chat.log.warning
            self.scribe.say(self._warned or "The log is saved again.", mark="!")
        self.transcript.paint()
        if began >= self._hud_due:
            self._hud_due = began + HUD_EVERY
            self.hud.show(view(self.scribe.readings, self.chat, self._clock()))
        self._show_hint()
        self._pace.painted(began, cpu)

    @property
    def busy(self) -> bool:
        """A model is loaded or a message answered."""
        return self._worker is not None

    @property
    def answering(self) -> bool:
        """A message is answered or a command's job runs."""
        return self.busy and (self.chat.busy or self._job is not None)

    # what the person sends

    @on(Prompt.Sent)
    def take_line(self, sent: Prompt.Sent) -> None:
        self.transcript.follow()
        reply = self.run_line(sent.text)
        if not reply.ok:
            self.prompt.restore(sent.text)
            self._hint.warn(reply.text, self.prompt.text)
        self._hud_due = 0.0
        self.paint()

    def run_line(self, line: str) -> Reply:
        """Does what a typed line asks for. Where the reply is not ok, nothing was done."""
        match commands.parse(line):
            case Text(text):
                self.send(text)
                return Reply("")
            case Call() as call:
                return self._run(call, line)
            case Problem(sentence):
                return Reply(sentence, ok=False)

    def send(self, text: str) -> None:
        """Asks the model, now or once it is free."""
        if self.busy:
            self._queued.put(as_line(text))
        else:
            self.chat.begin(text)
            self._work(self.chat.answer())

    def _run(self, call: Call, line: str) -> Reply:
        reply = commands.run(self.chat, call)
        shown = (reply.action or "").startswith("show:")
        if reply.job and self.busy and not shown:
            self._queued.put(line)
            return Reply("")
        if reply.ok:
            act(self, reply)
        return reply

    def start(self, job: Told) -> None:
        self._interrupt.clear()
        self._job, self._began = job, time.monotonic()
        self._work(self._told(job))

    def prefer(self, name: str, value: str) -> None:
        try:
            self.app.prefer(name, value)
        except EngineError as error:
            self.scribe.say(str(error), mark="!")
        self._show_preferences()

    def _show_preferences(self) -> None:
        self.hud.prefer(self.app.preferences.hud, self.size)
        self.transcript.origin = self.app.preferences.origin

    def open_screen(self, name: str, argument: str = "") -> None:
        desk = Desk(self.chat, self.run_line, self._clock)
        self.app.push_screen(opened(name, desk, argument), self.returned)

    def returned(self, line: str | None) -> None:
        """From a screen over this one, with a line to run; one that ends in a blank is put into
        the input, to go on with."""
        if line and line.endswith(" "):
            self.prompt.write(line)
        elif line:
            reply = self.run_line(line)
            if not reply.ok:
                self.prompt.write(line)
                self._hint.warn(reply.text, self.prompt.text)
        self._hud_due = 0.0
        self.paint()

    # the worker

    def _told(self, job: Told) -> Told:
        """Runs in the worker's thread, so the screen is asked to write what comes."""
        for told in interruptible(job, self._interrupt):
            match told:
                case Progress():
                    self.scribe.readings.progress = told
                case Live(text):
                    self.app.call_from_thread(self.scribe.say_live, text)
                case str():
                    self.app.call_from_thread(self.scribe.say, told)
            yield told

    def _work(self, stream: Iterator[object]) -> None:
        drain: partial[None] = partial(_drain, stream)
        self._worker = self.run_worker(drain, thread=True, exit_on_error=False)

    @on(Worker.StateChanged)
    def next_in_queue(self, change: Worker.StateChanged) -> None:
        if change.worker is not self._worker or not change.worker.is_finished:
            return
        if self._job:
            self.scribe.end_job()
        self._worker = self._job = None
        self._hud_due = 0.0  # the last figures of an answer are shown at once
        if change.state is WorkerState.ERROR:
            self._tell_bug(change.worker.error)
        waiting = self._queued.take()
        if waiting is not None:
            self.returned(waiting)
        self.paint()

    def stop(self) -> None:
        """Nothing that waits will be sent, and what runs is cancelled."""
        self._queued.clear()
        self.cancel()

    def _cancel_by_key(self) -> None:
        """Of what has run for long a second press is asked for."""
        now = time.monotonic()
        long = self._job is not None and now - self._began > LONG
        if long and now - self._asked > AGAIN_WITHIN:
            self._asked = now
            self._hint.warn("It has run for long: press again to end it. What it measured is kept.")
            self._show_hint()
        else:
            self.cancel()

    def cancel(self) -> None:
        self._interrupt.set()
        self.chat.cancel()

    async def at_rest(self) -> None:
        """Returns when nothing is loaded or answered any more."""
        while self._worker is not None:
            with suppress(WorkerError):  # told by `next_in_queue`
                await self._worker.wait()
            await asyncio.sleep(0)

    def _tell_bug(self, error: BaseException | None) -> None:
        self.scribe.say(f"{fault(error)} Log: {self.chat.log.path}", "error")

    # keys

    def action_interrupt(self) -> None:
        """Ctrl+C copies what is selected, else stops what runs, else clears, else quits."""
        selected = self.get_selected_text() or self.prompt.selected_text
        if selected:
            self.app.copy_to_clipboard(selected)
            self.clear_selection()
        elif self.answering:
            self._cancel_by_key()
        elif self.prompt.text:
            self.prompt.clear_to_history()
            self._hint.warn("Cleared; Up brings it back.")
        elif time.monotonic() - self._ctrl_c < QUIT_WITHIN:
            self.app.leave()
        else:
            self._ctrl_c = time.monotonic()
            self._hint.warn("Press Ctrl+C again to quit.")
        self._show_hint()

    def action_escape(self) -> None:
        if self.completion.display:
            self.completion.close()
        elif self.hud.has_focus:
            self.prompt.focus()
        elif self.prompt.refused:
            self.prompt.clear_to_history()
        elif self.busy:
            self._cancel_by_key()

    def action_copy_answer(self) -> None:
        reply = self.run_line("/copy answer")
        if not reply.ok:
            self._hint.warn(reply.text)
            self._show_hint()

    def action_open(self, name: str) -> None:
        self.open_screen(name)

    def action_hud(self) -> None:
        self.hud.choose_next(self.size)
        self._hud_due = 0.0

    @on(Hud.Explained)
    def explain(self, told: Hud.Explained) -> None:
        self._hint.explained = told.text
        self._show_hint()

    def on_key(self, event: events.Key) -> None:
        """What is typed while a figure is looked at is for the input."""
        if event.is_printable and event.character and self.hud.has_focus:
            self.prompt.focus()
            self.prompt.insert(event.character)
            event.stop()

    @on(Prompt.Page)
    def page(self, page: Prompt.Page) -> None:
        match page.pages:
            case 0:
                self.transcript.follow()
            case -1:
                self.transcript.scroll_page_up(animate=False)
            case _:
                self.transcript.scroll_page_down(animate=False)

    def on_resize(self, event: events.Resize) -> None:
        self.hud.fit(event.size)
        self._hud_due = 0.0

    # the line under the input

    @on(TextArea.Changed)
    def typed(self) -> None:
        self._hint.typed(self.prompt.text)
        self._show_hint()

    def _show_hint(self) -> None:
        self._hint.show(commands.hint(self.prompt.text, self.chat), self._status())

    def _status(self) -> str:
        readings = self.scribe.readings
        if self.hud.folded:
            return "window too small for the HUD"
        if readings.progress:
            return loading(readings.progress, WORKING if self._job else WAITS)
        if readings.prefill:
            return f"{reading(readings.prefill)} · {STREAMING}"
        if self.busy:
            if self._job:
                return WORKING
            return STREAMING if self.answering else LOADING
        return figures.fit(KEYS, self.size.width - 4)

    def _folded(self, count: int) -> str:
        where = self.chat.log.path or "the log"
        return f"… {count} earlier answers are folded; {where} has them all"


def _drain(stream: Iterator[object]) -> None:
    for _ in stream:
        pass
