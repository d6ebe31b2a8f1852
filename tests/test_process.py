"""The engine process, run for real over a tiny target."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tokenhud.engines.events import Loaded, Message, Request, Start, Step
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.process import ProcessEngine

from .tiny_engine import open_tiny

WORKER = "tests.tiny_engine"


def request(text="hello", model="tiny", length=6):
    return Request((Message("user", text),), Spec(model=model), Sampling(length=length))


@pytest.fixture(autouse=True)
def _worker_finds_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.fixture
def engine():
    engine = ProcessEngine(WORKER)
    yield engine
    engine.close()


def tokens(events):
    return [event.tokens for event in events if isinstance(event, Step)]


def test_the_process_says_what_the_engine_inside_says(engine):
    inside = LocalEngine(open_tiny)
    told = list(engine.stream(request()))
    assert tokens(told) == tokens(inside.stream(request()))
    assert [type(event) for event in told][3:6] == [Loaded, Start, type(told[5])]
    assert engine.pid != inside.pid


def test_cancel_from_outside_ends_a_long_answer_and_the_next_one_works(engine):
    events = engine.stream(request(model="slow", length=50))
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, Step) and len(tokens(seen)) == 2:
            engine.cancel()
    assert seen[-1].reason == "cancelled"
    assert len(tokens(seen)) < 20
    assert list(engine.stream(request()))[-1].reason in ("stop", "length")


def test_a_cancel_while_idle_does_not_touch_the_next_answer(engine):
    engine.cancel()
    assert list(engine.stream(request()))[-1].reason in ("stop", "length")


def test_leaving_an_answer_early_leaves_the_channel_clean(engine):
    events = engine.stream(request(model="slow", length=50))
    next(event for event in events if isinstance(event, Step))
    events.close()
    again = list(engine.stream(request("again", model="slow")))
    assert sum(isinstance(event, Start) for event in again) == 1


def test_what_a_library_prints_stays_out_of_the_channel(engine):
    assert list(engine.stream(request("print")))[-1].reason in ("stop", "length")


def test_a_bug_is_told_in_one_line_with_its_report_and_the_chat_goes_on(engine):
    stop = list(engine.stream(request("bug")))[-1]
    assert stop.what == "The engine failed: ZeroDivisionError: its last line"
    report = stop.remedy.split(" in ")[1].removesuffix(".")
    assert "ZeroDivisionError" in open(report).read()  # noqa: PTH123, SIM115
    assert list(engine.stream(request()))[-1].reason in ("stop", "length")


def test_an_expected_fault_keeps_its_own_words(engine):
    stop = list(engine.stream(request("fault")))[-1]
    assert (stop.what, stop.remedy) == ("The fault.", "The remedy.")


def test_a_killed_process_is_told_and_started_again(engine):
    first = engine.pid
    stop = list(engine.stream(request("die")))[-1]
    assert (stop.reason, "SIGKILL" in stop.what) == ("error", True)
    assert list(engine.stream(request()))[-1].reason in ("stop", "length")
    assert engine.pid != first


def test_close_ends_a_busy_process(engine):
    events = engine.stream(request(model="slow", length=60))
    next(event for event in events if isinstance(event, Step))
    engine.close()
    assert not psutil.pid_exists(engine.pid)


def test_no_process_outlives_a_killed_parent():
    code = f"""
from tests.test_process import ProcessEngine, request
engine = ProcessEngine({WORKER!r})
events = engine.stream(request(model="slow", length=60))
next(events)
print(engine.pid, flush=True)
import time; time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
