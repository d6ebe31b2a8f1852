"""The chat in a browser: a page, its socket, who is let in, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tokenhud.__main__ import main
from tokenhud.engines.events import Stop
from tokenhud.sessions.reading import only_records, read
from tokenhud.tui.web.serving import is_loopback, same_origin

from .terminal import SECONDS, until

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")

CHAT = """
import sys
from pathlib import Path
from tests.fakes import Beat, ScriptedEngine, chat_with, words
from tokenhud.tui.app import TokenhudApp

held = [*words("First part"), Beat((" last.",), wait=True)]
app = TokenhudApp(chat_with(ScriptedEngine(held), Path(sys.argv[1])))
app.run()
"""
SERVER = """
import sys
from tokenhud.tui.web.serving import serve
_, port, chat, folder = sys.argv
sys.exit(serve([], "127.0.0.1", int(port), False, (sys.executable, "-c", chat, folder)))
"""


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port), CHAT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert f"http://127.0.0.1:{port} has the chat" in process.stdout.readline()
            yield process, f"127.0.0.1:{port}"
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@asynccontextmanager
async def page(address: str, **headers: str) -> Any:
    """A page's socket, and a wait for what the terminal in it shows."""
    url = f"http://{address}/ws?width=90&height=30"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
        seen = bytearray()

        async def shows(text: bytes) -> None:
            async with asyncio.timeout(SECONDS):
                while text not in seen:
                    message = await ws.receive()
                    assert message.type == aiohttp.WSMsgType.BINARY, message
                    seen.extend(message.data)

        yield ws, shows


async def streaming(ws: Any, shows: Any) -> None:
    """A chat that is in the middle of an answer."""
    await shows(b"is ready")
    await ws.send_json(["stdin", "why?\r"])
    await shows(b"part")


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    running = [each for each in processes if each.is_running()]
    with suppress(psutil.NoSuchProcess):
        return all(each.status() == psutil.STATUS_ZOMBIE for each in running)
    return False


def how_it_ended(folder: Path) -> str:
    (log,) = folder.glob("*.jsonl")
    return [each for each in only_records(read(log)) if isinstance(each, Stop)][-1].reason


async def test_a_page_is_a_chat_and_ends_with_it(tmp_path: Path) -> None:
    with served(tmp_path) as (process, address):
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}") as got:
            text = await got.text()
            assert got.status == 200
            assert f'"ws://{address}/ws"' in text
            assert "frame-ancestors 'none'" in got.headers["Content-Security-Policy"]
        async with page(address, Origin=f"http://{address}") as (ws, shows):
            await streaming(ws, shows)
            await ws.send_json(["resize", {"width": 60, "height": 20}])
            chats = family(process)
            assert len(chats) == 1
        until(lambda: not family(process), lambda: str(family(process)))
        assert process.poll() is None
        assert how_it_ended(tmp_path) == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_chat_outlives_its_server(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, address):
        async with page(address) as (ws, shows):
            await streaming(ws, shows)
            chats = family(process)
            process.send_signal(number)
            async for _ in ws:  # until the server closes it, as a browser does
                pass
            status = await asyncio.to_thread(process.wait, SECONDS)
            assert status == (-number if number == signal.SIGKILL else 0)
            await asyncio.to_thread(until, lambda: gone(chats), lambda: str(chats))
        assert how_it_ended(tmp_path) == "cancelled"


async def test_another_page_is_not_let_in(tmp_path: Path) -> None:
    with served(tmp_path) as (process, address):
        for headers in ({"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with page(address, **headers):
                    pass
        assert family(process) == []


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("gpu1", False)],
)
def test_only_loopback_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("origin", "same"),
    [(None, True), ("http://localhost:80", True), ("http://localhost", False), ("null", False)],
)
def test_a_page_is_known_by_its_origin(origin: str | None, same: bool) -> None:
    assert same_origin("localhost:80", origin) is same


def test_other_hosts_need_a_word_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0"]) == 3
    said = capsys.readouterr().err
    assert "can be reached from other machines" in said
    assert "--allow-remote" in said


def test_without_the_extra_the_command_that_installs_it_is_said(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenhud.tui.web.server", None)
    assert main(["serve"]) == 3
    assert "pip install 'tokenhud[serve]'" in capsys.readouterr().err


def test_a_wrong_option_is_said_before_a_page_is_there(capsys) -> None:
    assert main(["serve", "--length", "0"]) == 3
    assert "length is a whole number from 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["serve", "--port", "70000"])


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "tokenhud", "serve", "--port", str(port)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 3
    assert told.stderr == (
        f"tokenhud: Port {port} of 127.0.0.1 is taken. Use another: --port {port + 1}\n"
    )


def test_the_options_of_a_chat_are_passed_on(monkeypatch) -> None:
    given: list[object] = []

    def serve(*words: object) -> int:
        given.append(words)
        return 0

    monkeypatch.setattr("tokenhud.tui.web.serving.serve", serve)
    line = ["serve", "--threads", "auto", "--drafter", "suffix", "--load", "a b", "--port", "8001"]
    assert main(line) == 0
    words = ["--drafter=suffix", "--threads=auto", "--load=a b"]
    assert given == [(words, "127.0.0.1", 8001, False)]
