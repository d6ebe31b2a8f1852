"""/copy, and where its text goes."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.options import Spec
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.clipboard import LARGEST, SCREEN_LARGEST, copied, osc52, through_screen
from tokenhud.tui.commands.table import parse, run

from .fakes import Beat, ScriptedEngine, chat_with, words
from .terminal import Terminal

SENT = re.compile(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\a")
TERMINAL = {"TERM": "xterm-256color"}
CODE = "Two ways:\n\n```python\nprint(1)\n\n```\n\n- in a list:\n\n  ~~~\n  rm -r x\n  ~~~\n\nDone."


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(home):
    return home / "copied.txt"


@pytest.fixture
def chat(home):
    scripts = [[Beat((CODE,))], words("Second one."), [Beat(("Third", " one."), 4, 1)]]
    chat = chat_with(ScriptedEngine(*scripts), home / "sessions", Spec(drafter="suffix"))
    list(chat.load())
    yield chat
    chat.close()


def typed(chat, line):
    return run(chat, parse(line))


def text_of(reply):
    assert reply.ok
    assert reply.action.startswith("copy:")
    return reply.action.removeprefix("copy:")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/copy", "Third one."),
        ("/copy answer", "Third one."),
        ("/copy answer 2", "Second one."),
        ("/copy answer 3", CODE),
        ("/copy code", "print(1)\n"),
        ("/copy code 2", "rm -r x"),
    ],
)
def test_an_answer_or_its_code_is_copied(chat, line, text):
    for message in ("a", "b", "c"):
        list(chat.ask(message))
    assert text_of(typed(chat, line)) == text


@pytest.mark.parametrize("line", ["/copy", "/copy code", "/copy figures", "/copy all"])
def test_there_is_nothing_to_copy_before_an_answer(chat, line):
    reply = typed(chat, line)
    assert (reply.ok, reply.action) == (False, None)


@pytest.mark.parametrize("line", ["/copy answer 2", "/copy code 3", "/copy figures 2", "/copy x"])
def test_what_is_not_there_is_said_with_what_is(chat, line):
    list(chat.ask("a"))
    assert not typed(chat, line).ok


def test_which_of_several_blocks_it_was_is_said(chat):
    list(chat.ask("a"))
    assert typed(chat, "/copy code 2").text == "Code block 2 of 2."


def test_figures_tell_model_weights_method_and_cost(chat):
    for message in ("a", "b", "c"):
        list(chat.ask(message))
    assert text_of(typed(chat, "/copy figures")) == (
        "Script · native float32 · suffix γ auto · 2 tok · – tok/s · TTFT 125 ms"
        " · accepted 25 % (1/4)"
    )
    assert " · 2 tok · 40.0 tok/s · " in text_of(typed(chat, "/copy figures 2"))


def test_all_is_the_chat_as_markdown(chat):
    list(chat.ask("What is `x`?"))
    told = text_of(typed(chat, "/copy all"))
    assert "What is `x`?" in told
    assert told.index("Turn 1") < told.index("print(1)") < told.index("Model: `Script`")


# where it goes


def test_a_terminal_is_sent_the_text_and_a_file_has_it_too(file):
    written = []
    told = copied("Grüße\n日本", written.append, TERMINAL)
    (sent,) = SENT.findall("".join(written))
    assert base64.b64decode(sent).decode() == "Grüße\n日本"
    assert file.read_text("utf-8") == "Grüße\n日本"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    where = "the terminal's clipboard, which does not answer"
    assert told == f"8 characters went to {where}; the text is in {file}"


def test_what_is_copied_cannot_command_a_terminal(file):
    copied("a\x1b]52;c;x\ab", lambda _: None, TERMINAL)
    assert file.read_text("utf-8") == "a\N{REPLACEMENT CHARACTER}]52;c;x\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}, {"TERM": "linux"}])
def test_a_terminal_that_knows_no_clipboard_is_sent_nothing(environ, file):
    written = []
    assert "could not go" in copied("text", written.append, environ)
    assert written == []
    assert file.read_text("utf-8") == "text"


@pytest.mark.parametrize(("size", "sent"), [(LARGEST, True), (LARGEST + 1, False)])
def test_what_xterm_would_cut_off_goes_to_the_file_alone(size, sent, file):
    written = []
    copied("x" * size, written.append, TERMINAL)
    assert bool(written) == sent
    assert file.stat().st_size == size


def test_a_file_that_cannot_be_written_is_said(home, monkeypatch):
    (home / "taken").touch()
    monkeypatch.setenv("TOKENHUD_HOME", str(home / "taken"))
    assert "cannot be written" in copied("text", None, TERMINAL)


def test_a_link_in_the_file_s_place_is_not_followed(home, file):
    (home / "other").write_text("mine")
    file.symlink_to(home / "other")
    copied("text", None, TERMINAL)
    assert (home / "other").read_text() == "mine"
    assert file.read_text() == "text"


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_gnu_screen_is_sent_pieces_that_it_passes_through_whole(text):
    sequence = osc52(text)
    pieces = through_screen(sequence).split("\x1b\\")
    assert pieces.pop() == ""
    assert all(each.startswith("\x1bP") and len(each) <= SCREEN_LARGEST + 2 for each in pieces)
    assert "".join(each.removeprefix("\x1bP") for each in pieces) == sequence


def test_gnu_screen_is_known_by_its_variable():
    written = []
    copied("text", written.append, TERMINAL | {"STY": "1.tty"})
    assert written == [through_screen(osc52("text"))]


@pytest.fixture
def path(home, monkeypatch):
    """A folder of programs that stand before all others."""
    folder = home / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def program(path, name, script):
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="by the programs of X11")
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ('case "$*" in *-o*) cat {0};; *) cat > {0};; esac', "Copied: 4 characters."),
        ("cat > /dev/null; echo no display >&2; exit 1", "4 characters went to"),
    ],
)
def test_this_machine_s_clipboard_is_taken_where_it_answers(
    path, home, monkeypatch, capfd, script, told
):
    program(path, "xclip", script.format(home / "clipboard"))
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    written = []
    assert copied("text", written.append, TERMINAL | {"DISPLAY": ":99"}).startswith(told)
    assert bool(written) != told.startswith("Copied")
    assert capfd.readouterr().err == ""


def test_over_ssh_this_machine_s_clipboard_is_left_alone(path, home):
    program(path, "xclip", f"cat > {home}/clipboard")
    environ = TERMINAL | {"DISPLAY": ":99", "SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}
    assert "went to the terminal" in copied("text", lambda _: None, environ)
    assert not (home / "clipboard").exists()


def test_tmux_takes_it_into_its_buffer(path, home):
    program(path, "tmux", f'echo "$*" > {home}/asked; cat > {home}/buffer')
    written = []
    told = copied("text", written.append, TERMINAL | {"TMUX": "/tmp/x,1,0"})
    assert "tmux's buffer and the terminal's clipboard" in told
    assert (home / "buffer").read_text() == "text"
    assert (home / "asked").read_text() == "load-buffer -w -\n"
    assert written == []


def test_a_tmux_that_cannot_pass_it_on_still_keeps_it(path, home):
    program(path, "tmux", f'[ "$2" = -w ] && exit 1; cat > {home}/buffer')
    told = copied("text", None, TERMINAL | {"TMUX": "/tmp/x,1,0"})
    assert told.startswith("4 characters went to tmux's buffer,")
    assert (home / "buffer").read_text() == "text"


@pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux")
def test_a_real_tmux_has_it_in_its_buffer(home, monkeypatch):
    monkeypatch.setenv("TMUX_TMPDIR", str(home))
    monkeypatch.delenv("TMUX", raising=False)
    tmux = ["tmux", "-L", "copy"]
    subprocess.run([*tmux, "new-session", "-d", "sh"], check=True)
    try:
        asked = [*tmux, "display-message", "-p", "#{socket_path},#{pid},0"]
        monkeypatch.setenv("TMUX", subprocess.check_output(asked, text=True).strip())
        copied("日本 text", None, dict(os.environ))
        shown = subprocess.check_output([*tmux, "show-buffer"], text=True)
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    assert shown == "日本 text"


# at the screen

PROGRAM = """
import sys
from pathlib import Path
from tests.fakes import ScriptedEngine, chat_with, words
from tokenhud.tui.app import TokenhudApp

TokenhudApp(chat_with(ScriptedEngine(words("An answer.")), Path(sys.argv[1]))).run()
"""


@pytest.mark.parametrize("around", [{}, {"STY": "1.tty"}], ids=["terminal", "screen"])
def test_ctrl_o_writes_the_last_answer_to_the_terminal(home, monkeypatch, file, around):
    for name in ("TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    at = Terminal([sys.executable, "-c", PROGRAM, str(home / "sessions")], 100, 30)
    try:
        at.shows("is ready")
        at.type("go\r")
        at.shows("TTFT 125 ms")
        at.type("\x0f")
        at.shows("10 characters went to")
        wanted = osc52("An answer.")
        assert (through_screen(wanted) if around else wanted).encode() in at.seen
    finally:
        at.kill()
    assert file.read_text() == "An answer."


async def test_a_selection_goes_the_same_way(home, monkeypatch, file):
    monkeypatch.delenv("DISPLAY", raising=False)
    app = TokenhudApp(chat_with(ScriptedEngine(), home / "sessions"))
    async with app.run_test() as pilot:
        await pilot.pause()
        await app.screen.at_rest()
        app.screen.prompt.insert("some words")
        app.screen.prompt.action_select_all()
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.clipboard == "some words"
        await app.workers.wait_for_complete()
    assert file.read_text() == "some words"
