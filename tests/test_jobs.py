"""Jobs of commands end where they are interrupted, and say so."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tokenhud.engines.events import Progress
from tokenhud.sessions.trials import CancelledError
from tokenhud.tui.commands.grammar import Live, Said
from tokenhud.tui.commands.jobs import interruptible
from tokenhud.tui.commands.trial import told


def searching(left: list[str]) -> Iterator[Said]:
    try:
        for n in range(1_000):
            yield Progress(n, "searching", n, 1_000)
    finally:
        left.append("closed")


def test_a_job_that_asks_no_engine_ends_at_its_next_progress() -> None:
    interrupt, left = threading.Event(), list[str]()
    said = []
    for each in interruptible(told(searching(left)), interrupt):
        said.append(each)
        if len(said) == 3:
            interrupt.set()
    assert [type(each) for each in said[:3]] == [Progress] * 3
    assert said[3:] == ["Cancelled."]
    assert left == ["closed"]


def test_a_job_whose_engine_was_cancelled_says_it_once() -> None:
    interrupt = threading.Event()

    def job() -> Iterator[Said]:
        try:
            yield Live("a row")
            interrupt.set()
            raise CancelledError
        except CancelledError:
            yield "Cancelled; 1 row is kept."
        yield Progress(0, "reloading", 0, 0)
        yield "Reloaded."

    *_, kept, reloading, reloaded = interruptible(job(), interrupt)
    assert kept == "Cancelled; 1 row is kept."
    assert isinstance(reloading, Progress)
    assert reloaded == "Reloaded."


def test_a_job_without_an_interrupt_is_as_it_is() -> None:
    said: list[Said] = ["a", Live("b"), "c"]
    assert list(interruptible(iter(said), threading.Event())) == said
