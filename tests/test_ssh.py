"""A chat over ssh whose connection drops in mid-answer, and what the next login finds of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokenhud.engines.cache import cache_folder
from tokenhud.engines.events import Step, Stop
from tokenhud.engines.process import WORKER
from tokenhud.sessions.bench.result import read_result
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Turn

from .sshd import PROGRAM, Sshd, UnavailableError, ended, sshd
from .terminal import Terminal, until

pytestmark = pytest.mark.model
READY = "Enter send"
ENDING = 20.0  # seconds in which a program whose terminal is gone has to end


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    env = {"TOKENHUD_HOME": str(tmp_path / "home"), "TOKENHUD_CACHE": str(cache_folder())}
    try:
        with sshd(tmp_path, env) as running:
            yield running
    except UnavailableError as why:
        pytest.skip(str(why))


def test_a_chat_outlives_its_connections_and_replays(server: Sshd, tmp_path: Path) -> None:
    with server.login(PROGRAM, "--length", "8", "--ignore-eos", "on") as terminal:
        terminal.shows(READY)
        terminal.type("Say hello.\r")
        terminal.matches("8 tok · .* · TTFT")
        terminal.type("/length 500\r")
        terminal.shows("8 → 500")
        lighthouse = begins(terminal, "Tell me a story about a lighthouse.")
        drop(terminal.kill, server)
    (log,) = (tmp_path / "home" / "sessions").glob("*.jsonl")
    assert cancelled_answer(log)[:3] == lighthouse

    with server.login(PROGRAM, "--load", log.stem) as terminal:
        terminal.shows(READY)
        terminal.matches(r"\W+".join(lighthouse))
        bridge = begins(terminal, "Tell me a story about a bridge.")
        drop(server.sever, server)
    assert cancelled_answer(log)[:3] == bridge

    assert f"{log.stem}  3 turns" in server.run(PROGRAM, "sessions", "list").stdout
    out = tmp_path / "out"
    passes = ("--runs", "3", "--warmup", "1")
    replayed = server.run(PROGRAM, "replay", log.stem, *passes, "--out", str(out))
    assert replayed.returncode == 0, replayed.stderr
    assert [each.case for each in read_result(out).answers] == ["turn 1"] * 4


def begins(terminal: Terminal, message: str) -> list[str]:
    """The first three words of the answer to `message`, once they stand whole on the screen."""
    terminal.type(f"{message}\r")
    return words(terminal.matches(rf"▸ {message}\s+[^\w╭]*((?:\w+[^\w╭]+){{3}})\w")[1])


def drop(connection: Callable[[], None], server: Sshd) -> None:
    """Ends the connection; the program and its engine must end, too, by themselves."""
    running = server.running()
    assert {PROGRAM, WORKER} <= {word for each in running for word in each.cmdline()}
    connection()
    until(lambda: ended(running), lambda: f"{running} go on", ENDING)


def cancelled_answer(log: Path) -> list[str]:
    """The last answer's words. Fails where it came to its end, and at a line that is no record."""
    answer, reason = "", ""
    for record in read(log):
        match record:
            case Turn():
                answer = ""
            case Step(pieces=pieces):
                answer += "".join(pieces)
            case Stop(tail=tail):
                answer, reason = answer + tail, record.reason
            case Problem():
                pytest.fail(str(record))
            case _:
                pass
    assert reason == "cancelled"
    return words(answer)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
