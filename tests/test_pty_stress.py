"""What terminals do to a program: sizes that change, long pastes, slow lines, wide characters."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.cells import cell_len

from tokenhud.engines.events import Step
from tokenhud.sessions.reading import read
from tokenhud.sessions.records import Turn

from .terminal import Terminal

PROGRAM = """
import sys
from pathlib import Path
from tests.fakes import Beat, ScriptedEngine, chat_with, words
from tokenhud.tui.app import TokenhudApp

STREAM = [Beat((f" word{n}",), ms=10) for n in range(400)]
WIDE = words("日本語 の テキスト 👩‍👩‍👧 🇩🇪 👍🏽 ❤️ e\u0301 한국어 end.", ms=1)
script = {"stream": STREAM, "wide": WIDE}[sys.argv[2]]
app = TokenhudApp(chat_with(ScriptedEngine(script, real=True), Path(sys.argv[1])))
app.run()
sys.exit(app.return_code)
"""
LAST = "word399"


@contextmanager
def terminal(folder: Path, script: str, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    at = Terminal([sys.executable, "-c", PROGRAM, str(folder), script], columns, lines)
    try:
        at.shows("is ready")
        yield at
    finally:
        at.kill()


def test_sizes_that_storm_while_an_answer_streams_leave_the_last_one_drawn_right(
    tmp_path: Path,
) -> None:
    sizes = random.Random(7)
    with terminal(tmp_path, "stream") as at:
        at.type("go\r")
        at.shows("word3")
        for _ in range(120):
            at.resize(sizes.randint(1, 200), sizes.randint(1, 60))
            time.sleep(0.01)
        at.resize(100, 30)
        at.shows(LAST)
        at.shows("SPEED")
        rows = at.text.split("\n")
        assert len(rows) == 30
        assert all(cell_len(row) <= 100 for row in rows)
        assert any("Ask something" in row for row in rows[-5:])
        at.type("still typing")
        at.shows("still typing")
    assert _answer(tmp_path).endswith(LAST)


def test_a_paste_of_ten_thousand_lines_is_one_message(tmp_path: Path) -> None:
    text = "\n".join(f"line {n} of a long paste" for n in range(10_000))
    with terminal(tmp_path, "stream") as at:
        at.paste(text)
        at.shows("line 9999")
        at.type(" and more")
        at.shows("and more")
        at.type("\r")
        at.shows("word1")
    (turn,) = (each for each in read(_path(tmp_path)) if isinstance(each, Turn))
    assert turn.text == text + " and more"


def test_a_terminal_that_takes_little_lowers_no_figure_and_still_obeys(tmp_path: Path) -> None:
    with terminal(tmp_path, "stream") as at:
        at.type("go\r")
        ends = time.monotonic() + 30
        while b"finish_reason" not in _saved(tmp_path) and time.monotonic() < ends:
            at.sip(256)
            time.sleep(0.05)  # 5 kB a second, a modem's
        steps = [each for each in read(_path(tmp_path)) if isinstance(each, Step)]
        assert len(steps) == 400
        at.shows(LAST)
        at.type("\x03")
        at.shows("again to quit")
        at.type("\x03")
        assert at.status() == 0
        assert at.restored()


def test_wide_characters_and_emoji_leave_the_panel_in_its_column(tmp_path: Path) -> None:
    with terminal(tmp_path, "wide", 120, 40) as at:
        at.type("絵文字 👩‍👩‍👧 🇩🇪 👍🏽\r")
        at.shows("end.")
        at.shows("last answer")
        panel = 120 - 33
        for label in ("SPEED", "MACHINE", "engine RSS", "first token", "ENGINE", "SAMPLING"):
            assert at.columns(label) <= {panel, panel + 1}, at.text


def _answer(folder: Path) -> str:
    steps = [each for each in read(_path(folder)) if isinstance(each, Step)]
    return "".join(piece for step in steps for piece in step.pieces)


def _saved(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))


def _path(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path
