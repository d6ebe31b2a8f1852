from __future__ import annotations

import threading

import pytest

from tests.fakes import ScriptedEngine, chat_with, words
from tests.saved import save, turn
from tests.test_places import forbid
from tokenhud.engines.events import Progress
from tokenhud.tui.commands import grammar
from tokenhud.tui.commands import library as library_commands
from tokenhud.tui.commands.grammar import Call
from tokenhud.tui.commands.jobs import interruptible
from tokenhud.tui.commands.library import HITS_SHOWN, SESSIONS, TURNS_SHOWN
from tokenhud.tui.commands.session import load
from tokenhud.tui.commands.session import save as save_command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sessions"


@pytest.fixture
def chat(folder):
    chat = chat_with(ScriptedEngine(words("Hello there")), folder)
    yield chat
    chat.close()


def say(chat, line):
    """What a typed line is answered with, and whether it was taken."""
    call = grammar.parse(line, SESSIONS)
    assert isinstance(call, Call)
    reply = grammar.run(chat, call)
    told = [reply.text, *(reply.job() if reply.job else [])]
    return "\n".join(each for each in told if not isinstance(each, Progress)).strip(), reply.ok


def test_the_saved_sessions_are_listed(chat, folder):
    assert say(chat, "/sessions") == ("No session is saved yet.", True)
    save(folder, "first", turn(1, "Hi", ["a"] * 5), turn(2, "Hi", ["a"] * 5))
    for line in ("/sessions", "/sessions LIST"):
        told, _ = say(chat, line)
        assert "first  2 turns · smollm2 · plain · 40.0 tok/s" in told


def test_a_folder_that_refuses_is_told_and_not_called_empty(chat, folder, monkeypatch):
    save(folder, "x", turn(1, "Hi", ["a"]))
    forbid(monkeypatch, folder)
    verbs = ("", " list", " list deleted", " show x", " search hi", " rename x y", " delete x")
    for line in (*verbs, " restore x", " purge x", " delete x --forever"):
        assert "Permission denied" in say(chat, f"/sessions{line}")[0]
    for reply in (save_command(chat, ("q",)), load(chat, ("q",)), load(chat, ())):
        assert "Permission denied" in reply.text
        assert not reply.ok


def test_of_a_long_session_the_last_turns_are_shown(chat, folder):
    save(folder, "two words", *(turn(n, "Hi", ["a"]) for n in range(1, TURNS_SHOWN + 6)))
    told, _ = say(chat, "/sessions show two words")
    assert "… 5 earlier turns" in told
    assert sum("plain" in line for line in told.splitlines()) == TURNS_SHOWN


def test_a_search_ends_after_enough_hits(chat, folder):
    save(folder, "x", *(turn(n, f"sky {n}", ["a"]) for n in range(1, HITS_SHOWN + 5)))
    told, _ = say(chat, "/sessions search SKY")
    assert len(told.splitlines()) == HITS_SHOWN + 1
    assert "x · turn 1 · you: sky 1" in told
    (folder / "zip.jsonl").write_bytes(b"\x1f\x8b")
    told, _ = say(chat, "/sessions search sea")
    assert "No saved" in told
    assert "1 could not be read" in told


def test_a_search_ends_in_mid_session_where_it_is_interrupted(chat, folder, monkeypatch):
    monkeypatch.setattr(library_commands, "TOLD_EVERY", 0.0)
    save(folder, "x", *(turn(n, "sky", ["a"]) for n in range(1, 10)))
    reply = grammar.run(chat, grammar.parse("/sessions search sky", SESSIONS))
    interrupt, hits = threading.Event(), []
    for each in interruptible(reply.job(), interrupt):
        if isinstance(each, str):
            hits.append(each)
            interrupt.set()
    assert [each[:10] for each in hits] == ["x · turn 1", "Cancelled."]


def test_what_a_name_could_be_taken_for_is_told_apart_by_quotes(chat, folder):
    for name in ("x", "x --forever", " x", "a  b", "a b"):
        save(folder, name, turn(1, name, ["a"]))
    assert say(chat, "/sessions delete 'x --forever'")[1]
    assert say(chat, "/sessions delete ' x'")[1]
    assert say(chat, "/sessions delete a  b")[1]
    deleted = {each.stem for each in (folder / "deleted").glob("*.jsonl")}
    assert deleted == {"x --forever", " x", "a  b"}
    assert say(chat, "/sessions restore ' x'") == ("x is back. /load goes on with it.", True)
    assert say(chat, '/sessions show " x"')[0].startswith("x\n")


def test_a_deleted_one_is_removed_while_another_has_its_name(chat, folder):
    save(folder, "x", turn(1, "Hi", ["a"]))
    say(chat, "/sessions delete x")
    save(folder, "x", turn(1, "Hi", ["a"]))
    assert "is removed" in say(chat, "/sessions purge x")[0]
    assert [each.name for each in folder.rglob("*.jsonl")] == ["x.jsonl"]
    assert not say(chat, "/sessions purge x")[1]


def test_a_taken_name_is_told(chat, folder):
    for name in ("a", "b"):
        save(folder, name, turn(1, "Hi", ["x"]))
    told, ok = say(chat, "/sessions rename a b")
    assert (told, ok) == ("a is now b-2; b is the name of another.", True)


def test_a_session_is_renamed_deleted_and_taken_back(chat, folder):
    save(folder, "two words", turn(1, "Hi", ["a"]))
    assert say(chat, '/sessions rename "two words" x') == ("two words is now x.", True)
    assert say(chat, "/sessions list deleted") == ("No session is deleted.", True)
    told, ok = say(chat, "/sessions delete x")
    assert ok
    assert "x  1 turn ·" in say(chat, "/sessions list deleted")[0]
    assert "/sessions restore x" in told
    assert not (folder / "x.jsonl").exists()
    assert "x is back" in say(chat, "/sessions restore x")[0]
    assert say(chat, "/sessions delete x --forever")[1]
    assert not list(folder.rglob("*.jsonl"))


def test_this_session_is_renamed_and_goes_on_but_not_deleted(chat, folder):
    list(chat.ask("Hi"))
    old = chat.log.path.stem
    assert say(chat, f"/sessions rename {old} mine") == (f"{old} is now mine.", True)
    assert chat.log.path == folder / "mine.jsonl"
    for line in ("/sessions delete mine", "/sessions delete mine --forever"):
        told, ok = say(chat, line)
        assert not ok
        assert "this session" in told
    assert chat.log.path.exists()


@pytest.mark.parametrize(
    "line",
    [
        "/sessions list removed",
        "/sessions show",
        "/sessions show missing",
        "/sessions show ../x",
        "/sessions rename one",
        '/sessions rename "one',
        "/sessions rename one two three",
        "/sessions delete ../x",
        "/sessions restore missing",
        "/sessions forget x",
        "/sessions purge real",
        "/export",
        "/export pdf",
    ],
)
def test_what_cannot_be_done_is_told_and_the_line_kept(chat, folder, line):
    save(folder, "real", turn(1, "Hi", ["a"]))
    told, ok = say(chat, line)
    assert told
    assert not ok


@pytest.mark.parametrize("saved", [True, False])
def test_this_session_is_exported(chat, folder, tmp_path, saved):
    if not saved:
        chat.log.close()
    list(chat.ask("Hi"))
    told, ok = say(chat, "/export md")
    path = tmp_path / (f"{chat.log.path.stem}.md" if saved else "session.md")
    assert (told, ok) == (f"Written: {path}", True)
    assert "Hello there" in path.read_text("utf-8")
    assert "Written" in say(chat, "/export steps steps.csv")[0]
    assert (tmp_path / "steps.csv").read_text().count("\n") == 3
    assert "is not a folder" in say(chat, f"/export csv {folder}/none/x")[0]
