"""A chat over ssh whose connection drops in mid-answer, and what a second login finds of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokenhud.engines.cache import cache_folder
from tokenhud.engines.events import Step, Stop
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Turn

from .sshd import PROGRAM, Sshd, Terminal, UnavailableError, ended, sshd, until

pytestmark = pytest.mark.model
ENDING = 20.0  # seconds in which a program whose terminal is gone has to end


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    env = {"TOKENHUD_HOME": str(tmp_path / "home"), "TOKENHUD_CACHE": str(cache_folder())}
    try:
        with sshd(tmp_path, env) as running:
            yield running
    except UnavailableError as why:
        pytest.skip(str(why))


def the_client_is_killed(terminal: Terminal, _server: Sshd) -> None:
    terminal.client.kill()


def the_connection_is_severed(_terminal: Terminal, server: Sshd) -> None:
    for each in server.running("sshd: "):
        each.kill()


def the_client_falls_silent(terminal: Terminal, _server: Sshd) -> None:
    """As where a network vanishes: no end of the connection is ever told."""
    terminal.client.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    "drop", [the_client_is_killed, the_connection_is_severed, the_client_falls_silent]
)
def test_a_dropped_chat_is_kept_and_the_next_login_replays_it(
    server: Sshd, tmp_path: Path, drop: Callable[[Terminal, Sshd], None]
) -> None:
    with server.login(PROGRAM, "--length", "8") as terminal:
        terminal.shows("is ready after")
        terminal.type("Say hello.\r")
        terminal.shows(r"\d tok · .* · TTFT")
        terminal.type("/length 500\r")
        terminal.shows("8 → 500")
        terminal.type("Tell me a long story about a lighthouse.\r")
        terminal.shows("answer +(9|[1-9][0-9]+) tok")  # more than the first one had
        seen, running = terminal.text, server.running("tokenhud")
        assert any("engines.worker" in " ".join(each.cmdline()) for each in running)
        drop(terminal, server)
        until(lambda: ended(running), lambda: f"{running} go on", ENDING)

    (log,) = (tmp_path / "home" / "sessions").glob("*.jsonl")
    answer, reason = last_answer(log)
    assert reason == "cancelled"
    assert " ".join(answer.split()[:4]) in seen

    listed = server.run(PROGRAM, "sessions", "list")
    assert f"{log.stem}  2 turns" in listed.stdout
    out = tmp_path / "out"
    line = (PROGRAM, "replay", log.stem, "--runs", "3", "--warmup", "1", "--out", str(out))
    replayed = server.run(*line)
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))


def last_answer(log: Path) -> tuple[str, str]:
    """Its text and why it ended. Fails where the log holds a line that is no record."""
    answer, reason = "", ""
    for record in read(log):
        match record:
            case Turn():
                answer = ""
            case Step(pieces=pieces):
                answer += "".join(pieces)
            case Stop(tail=tail, reason=ended_by):
                answer, reason = answer + tail, ended_by
            case Problem():
                pytest.fail(f"{record}")
            case _:
                pass
    return answer, reason
