"""The chat line by line, for pipes and for terminals where a full screen is unwelcome."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from ...engines.events import Chunk, Engine, Event, Loaded, Progress, Start, Step, Stop
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import clean, one_line
from ...sessions.metrics import Meter
from ..clipboard import copied
from ..commands import table as commands
from ..commands.grammar import Call, Job, Live, Problem, Reply, Text
from ..commands.jobs import interruptible

PROMPT, MORE = "> ", ". "


def plain_chat(chat: Chat, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Reads messages and commands from standard input until its end or /quit.

    A line that ends in a backslash goes on with the next one. Figures and notices go to `err`.
    """
    tell(err, chat.log.warning)
    failed = not _load(chat, err)
    for line in _lines(err):
        match commands.parse(line):
            case Text(text) if text.strip():
                failed = not say(chat, text, out, err)
            case Problem(sentence):
                tell(err, sentence)
            case Call() as call:
                reply = commands.run(chat, call)
                tell(err, reply.text)
                if reply.action == "quit":
                    break
                failed = not _act(chat, reply, out, err)
                if reply.job:
                    _run_job(chat, reply.job, err)
            case _:
                pass
    return 1 if failed else 0


def say(chat: Chat, text: str, out: TextIO, err: TextIO) -> bool:
    """Streams the answer to `text`, then its figures; False where it ended in an error."""
    meter = Meter()
    with cancelled_by_interrupt(chat):
        for event in chat.ask(text):
            meter.add(event)
            _show(event, out, err)
    tell(err, figures.turn_line(meter.metrics()))
    return meter.metrics().reason != "error"


@contextmanager
def cancelled_by_interrupt(
    asked: Chat | Engine, interrupt: threading.Event | None = None
) -> Iterator[None]:
    """Ctrl+C cancels the answer, and sets `interrupt`, instead of raising in mid-read."""

    def cancel(_signal: int, _frame: FrameType | None) -> None:
        asked.cancel()
        if interrupt:
            interrupt.set()

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """Ends in silence where the reader of our output does, as `| head`."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(err: TextIO, sentence: str) -> None:
    if sentence:
        print(clean(sentence), file=err, flush=True)


def progress(event: Event, err: TextIO) -> None:
    """Loading, on one line that overwrites itself; a pipe is spared it."""
    if not err.isatty():
        return
    if isinstance(event, Progress):
        part = f" {figures.percent(event.done / event.total)}" if event.total else ""
        err.write(f"\r\x1b[K{one_line(event.stage)}{part}")
    elif isinstance(event, Loaded | Stop):
        err.write("\r\x1b[K")
    err.flush()


def end_progress(err: TextIO) -> None:
    """Clears the line that overwrites itself."""
    progress(Stop(0, "stop"), err)


def _show(event: Event, out: TextIO, err: TextIO) -> None:
    progress(event, err)
    match event:
        case Start(notes=notes):
            for note in notes:
                tell(err, note)
        case Step(pieces=pieces):
            out.write(clean("".join(pieces)))
            out.flush()
        case Chunk(text=text):
            out.write(clean(text))
            out.flush()
        case Stop(tail=tail, what=what, remedy=remedy):
            out.write(f"{clean(tail)}\n")
            out.flush()
            tell(err, f"{what} {remedy}".strip())
        case _:
            pass


def _load(chat: Chat, err: TextIO) -> bool:
    event: Event | None = None
    with cancelled_by_interrupt(chat):
        for event in chat.load():
            progress(event, err)
    if isinstance(event, Stop):
        tell(err, f"{event.what} {event.remedy}".strip())
    return not isinstance(event, Stop)


def _act(chat: Chat, reply: Reply, out: TextIO, err: TextIO) -> bool:
    action, _, argument = (reply.action or "").partition(":")
    if action == "send":
        return say(chat, argument, out, err)
    if action == "prefill":
        tell(err, argument)
    if action == "copy":
        tell(err, copied(argument, err.write if err.isatty() else None))
    return reply.ok


def _run_job(chat: Chat, job: Job, err: TextIO) -> None:
    growing = ""  # the last Live, said once it is whole
    interrupt = threading.Event()
    with cancelled_by_interrupt(chat, interrupt):
        for told in interruptible(job(), interrupt):
            if isinstance(told, Live):
                growing = told.text
            elif isinstance(told, str):
                end_progress(err)
                tell(err, growing)
                tell(err, told)
                growing = ""
            else:
                progress(told, err)
    tell(err, growing)


def _lines(err: TextIO) -> Iterator[str]:
    """Whole messages; Ctrl+C at the prompt drops what is typed, twice in a row leaves."""
    asked = sys.stdin.isatty()
    if asked:
        with suppress(ImportError):
            import readline  # noqa: F401  # gives input() its history and editing
    said: list[str] = []
    interrupted = False
    while True:
        try:
            line = input((MORE if said else PROMPT) if asked else "")
        except EOFError:
            if said:
                yield "\n".join(said)
            return
        except KeyboardInterrupt:
            if interrupted:
                return
            interrupted, said = True, []
            tell(err, "\nCtrl+C again leaves.")
            continue
        interrupted = False
        if line.endswith("\\"):
            said.append(line[:-1])
            continue
        yield "\n".join([*said, line])
        said = []
