"""The program in a real pseudo-terminal: signals, wrong bytes, and what may reach the terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokenhud.sessions.reading import read

from .terminal import SECONDS, Terminal

PROGRAM = """
import sys
from pathlib import Path
from tests.fakes import Beat, ScriptedEngine, chat_with, words
from tokenhud.tui.app import TokenhudApp

HELD = [*words("First part"), Beat((" last.",), wait=True)]
HOSTILE = [Beat((piece,)) for piece in (
    "a", "\\x1b", "]52;c;", "cm0=", "\\x07", "b", "\\x1b]0;t", "\\x1b\\\\", "\\x9b2J", "\\x1bP",
    "q", "\\x1b[?1049l", "\\r", "\\x08", "\\u202e", "[red]c[/red]", "\\x1b", "[31m", "d\\n\\n- e",
)]
WIDE = words("CJK \\u65e5\\u672c\\u8a9e\\u306e\\u30c6\\u30ad\\u30b9\\u30c8 and e\\u0301 accents.")
script = {"held": HELD, "hostile": HOSTILE, "wide": WIDE}[sys.argv[2]]
app = TokenhudApp(chat_with(ScriptedEngine(script), Path(sys.argv[1])))
app.run()
sys.exit(app.return_code)
"""


def terminate(at: Terminal) -> None:
    at.process.terminate()
    at.process.wait(SECONDS)


PLAIN = """
import sys
from pathlib import Path
from tests.fakes import Beat, ScriptedEngine, chat_with, words
from tokenhud.__main__ import ended_by_hang_up
from tokenhud.tui.headless.plain import plain_chat

held = [*words("First part"), Beat((" last.",), wait=True)]
chat = chat_with(ScriptedEngine(held), Path(sys.argv[1]))
with ended_by_hang_up():
    try:
        plain_chat(chat)
    finally:
        chat.close()
"""


@contextmanager
def terminal(
    folder: Path, script: str = "held", columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    at = Terminal([sys.executable, "-c", PROGRAM, str(folder), script], columns, lines)
    try:
        at.shows("is ready")
        yield at
    finally:
        at.kill()


def test_wrong_bytes_and_sequences_are_survived_and_ctrl_c_twice_quits(tmp_path: Path) -> None:
    with terminal(tmp_path) as at:
        at.type(b"caf\xe9 ")
        at.shows("caf\N{REPLACEMENT CHARACTER}")
        for wrong in (b"\x1b[99999999999~", b"\x1b[1114112u", b"\x1b[:u", b"\xff\xfe"):
            at.type(wrong)
        at.type("still here")
        at.shows("still here")
        at.type("\x03")
        at.shows("Up brings it back")
        at.type("\x03")
        at.shows("again to quit")
        at.type("\x03")
        assert at.status() == 0
        assert at.restored()


def test_no_control_sequence_of_the_model_reaches_the_terminal(tmp_path: Path) -> None:
    with terminal(tmp_path, "hostile") as at:
        start = len(at.seen)
        at.type("go\r")
        at.shows("tok/s · TTFT 125 ms")
        shown = bytes(at.seen[start:])
        assert "[red]c[/red]" in at.text
        for wrong in (
            b"\x1b]",
            b"\x1bP",
            b"\x07",
            b"\x08",
            b"\x1b[?1049l",
            b"\x1b[2J",
            b"\xc2\x9b",
        ):
            assert wrong not in shown
        assert "\u202e".encode() not in shown


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_signals_keep_the_answer_and_restore_the_terminal(
    tmp_path: Path, signum: signal.Signals
) -> None:
    with terminal(tmp_path) as at:
        at.type("go\r")
        at.shows("First part")
        at.process.send_signal(signum)
        assert at.status() == 128 + signum
        assert at.restored()
    assert '"cancelled"' in _log(tmp_path).splitlines()[-1]


def test_a_terminal_that_vanishes_ends_the_program(tmp_path: Path) -> None:
    with terminal(tmp_path) as at:
        at.type("go\r")
        at.shows("First part")
        at.hang_up()
        assert at.process.returncode == 128 + signal.SIGHUP
    assert '"cancelled"' in _log(tmp_path).splitlines()[-1]


def test_a_burst_of_cut_characters_is_sent_once(tmp_path: Path) -> None:
    text = "日本語のテキストも正し"
    with terminal(tmp_path) as at:
        data = text.encode()
        for start in range(0, len(data), 5):
            at.type(data[start : start + 5])
            time.sleep(0.002)
        at.type("\r")
        at.shows("First part")
    assert _log(tmp_path).count(text) == 1


def test_alt_enter_breaks_the_line(tmp_path: Path) -> None:
    with terminal(tmp_path) as at:
        at.type("one\x1b\rtwo\r")
        at.shows("First part")
    assert "one\\ntwo" in _log(tmp_path)


def test_wide_characters_leave_the_panel_in_its_column(tmp_path: Path) -> None:
    with terminal(tmp_path, "wide", 120, 40) as at:
        at.type("日本語\r")
        at.shows("accents.")
        at.shows("last answer")
        cells = {
            column
            for row in at.text.splitlines()
            for column in [_column(row, "SPEED"), _column(row, "CPU")]
        }
        assert len(cells - {None}) == 1


@pytest.mark.parametrize("ending", [Terminal.hang_up, terminate], ids=["hang-up", "terminate"])
def test_a_plain_chat_that_is_ended_in_mid_answer_records_it_as_cancelled(
    tmp_path: Path, ending: Callable[[Terminal], None]
) -> None:
    at = Terminal([sys.executable, "-c", PLAIN, str(tmp_path)], 80, 24)
    try:
        at.type("Hello?\r")
        at.shows("First part")
        ending(at)
    finally:
        at.kill()
    assert '"finish_reason":"cancelled"' in _log(tmp_path)


def _column(row: str, word: str) -> int | None:
    at = row.find(f" {word} ")
    return None if at < 0 else at


def _log(folder: Path) -> str:
    (path,) = folder.glob("*.jsonl")
    assert read(path)
    return path.read_text(encoding="utf-8")
