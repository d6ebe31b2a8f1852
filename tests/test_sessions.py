"""The saved sessions as a collection, through the library and through `tokenhud sessions`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.saved import save, turn
from tests.test_places import BAD_NAMES
from tokenhud.engines.events import EngineError, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions import library, reading
from tokenhud.sessions import overview as overviews
from tokenhud.sessions.library import delete, delete_forever, find_session, glance, rename, restore
from tokenhud.sessions.log import Log
from tokenhud.sessions.overview import overview, preview
from tokenhud.sessions.places import list_sessions
from tokenhud.sessions.reading import read
from tokenhud.sessions.records import Setting, Trial, Undo
from tokenhud.sessions.search import Words, search
from tokenhud.sessions.typed_names import FOREVER, quoted, unquoted
from tokenhud.tui.headless import sessions_report as report

SUFFIX = Spec(drafter="suffix", gamma=6, gamma_policy="fixed", model="/models/big.gguf")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path / "sessions"


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in list_sessions(folder))


def only(folder: Path):
    (session,) = list_sessions(folder)
    return session


# what a listing tells


def test_a_glance_tells_turns_model_methods_and_the_rate_of_whole_warm_turns(folder):
    save(
        folder,
        "x",
        turn(1, "cold", ["a"] * 9, ms=1),
        turn(2, "plain", ["a"] * 11, ms=20),
        turn(3, "cut", ["a"] * 11, ms=1, reason="cancelled"),
        turn(4, "drafted", ["a"] * 11, SUFFIX, ms=30),
    )
    seen = glance(only(folder))
    assert (seen.turns, seen.model, seen.whole, seen.fault) == (4, "big.gguf", True, "")
    assert seen.methods == ("plain", "suffix γ 6")
    assert seen.decode_rate == pytest.approx(20 / (0.2 + 0.3))


def test_of_a_long_log_a_glance_reads_the_last_turns_alone(folder, monkeypatch):
    path = save(folder, "x", *(turn(n, "Hi", ["a"] * 20) for n in range(1, 101)))
    read_lines: list[int] = []
    parse = reading.numbered_record
    monkeypatch.setattr(
        reading, "numbered_record", lambda text: read_lines.append(len(text)) or parse(text)
    )
    monkeypatch.setattr(library, "GLANCE", path.stat().st_size // 10)
    seen = glance(only(folder))
    assert (seen.turns, seen.whole) == (100, False)
    assert seen.decode_rate == pytest.approx(40)
    assert sum(read_lines) <= path.stat().st_size // 10


def test_a_glance_looks_further_where_one_turn_is_longer_than_it_reads(folder, monkeypatch):
    save(folder, "x", turn(1, "Hi", ["a"] * 3), turn(2, "Hi", ["a"] * 200))
    monkeypatch.setattr(library, "GLANCE", 1000)
    assert glance(only(folder)).turns == 2
    monkeypatch.setattr(library, "GAZE", 1000)
    assert glance(only(folder)).fault


def test_what_is_no_log_is_listed_with_the_reason(folder):
    folder.mkdir()
    (folder / "zip.jsonl").write_bytes(b"\x1f\x8b")
    (folder / "empty.jsonl").touch()
    faults = {each.name: glance(each).fault for each in list_sessions(folder)}
    assert "gzip" in faults["zip"]
    assert faults["empty"]


def test_the_list_opens_only_what_it_shows(folder, capsys, monkeypatch):
    for n in range(30):
        os.utime(save(folder, f"s{n:02}", turn(1, "Hi", ["a"])), (n, n))
    opened: list[str] = []
    really = reading.opened
    monkeypatch.setattr(reading, "opened", lambda path: opened.append(path.stem) or really(path))
    assert report.list_report(5) == 0
    out = capsys.readouterr().out
    assert opened == ["s29", "s28", "s27", "s26", "s25"]
    assert [line.split()[4] for line in out.splitlines()[:5]] == opened
    assert "25 older" in out


def test_the_list_as_json(folder, capsys):
    save(folder, "x", turn(1, "Hi", ["a"] * 5), turn(2, "Hi", ["a"] * 5))
    report.list_report(as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["session"], row["turns"], row["model"], row["methods"]) == (
        "x",
        2,
        "smollm2",
        ["plain"],
    )
    assert row["decode_tps"] == pytest.approx(40)


@pytest.mark.usefixtures("folder")
def test_no_sessions_are_no_fault(capsys):
    assert report.list_report() == 0
    assert report.list_report(deleted=True) == 0
    assert capsys.readouterr().out == "No session is saved yet.\nNo session is deleted.\n"


# one session


def test_an_overview_has_settings_turns_totals_and_problems(folder):
    path = save(
        folder,
        "x",
        turn(1, "cold", ["a"] * 9),
        [Setting("gamma", 9), Setting("system", "Be brief."), Setting("gamma", 10**6)],
        turn(2, "gone", ["a"] * 11, SUFFIX, ms=20),
        [Undo(2)],
        turn(3, "kept", ["a"] * 11, SUFFIX, ms=30),
    )
    with path.open("ab") as file:
        file.write(b"?\n" * 30)
    found = overview(read(path))
    assert [row["turn_id"] for row in found.rows] == [1, 2, 3]
    assert [row["draft_acceptance_rate"] for row in found.rows] == [None, 0.5, 0.5]
    assert found.totals.decode_rate == pytest.approx(20 / (0.2 + 0.3))
    assert (found.totals.turns, found.totals.measured, found.totals.cold) == (3, 2, 1)
    assert (found.about.spec.gamma, found.about.system) == (9, "Be brief.")
    assert found.about.undone == [2]
    assert found.about.faults == 30
    assert len(found.about.problems) < 30


def test_a_session_is_shown_with_its_faults_and_without_control_characters(folder, capsys):
    path = save(folder, "x", turn(1, "Hi", ["a"] * 3), [Setting("system", "\x1b[2J\x9b1m")])
    with path.open("ab") as file:
        file.write(b'{"seq":9,"type":"undo","turn_id":1,"\x1b[2J":2}\n')
    report.show_report("x")
    out = capsys.readouterr().out
    assert "line 11" in out
    assert "gamma" not in out
    assert all(each.isprintable() or each == "\n" for each in out)


def test_trials_are_no_part_of_the_conversation(folder):
    trial = [Trial("verify", 1), *turn(9, "", ["tried"])[1:]]
    path = save(folder, "x", turn(1, "Hi", ["said"]), trial, turn(2, "Hi", ["said"]))
    found = overview(read(path))
    assert [row["completion_tokens"] for row in found.rows] == [1, 1]
    assert not any(search(path, Words("tried")))


def test_show_as_json_is_finite_and_has_no_words(folder, capsys):
    save(folder, "x", turn(1, "secret", ["answer"]))
    report.show_report("x", as_json=True)
    out = capsys.readouterr().out
    shown = json.loads(out)
    assert shown["model"]["name"] == "Script"
    assert shown["turns"][0]["completion_tokens"] == 1
    assert shown["totals"]["cold"] == 1
    assert "secret" not in out


def test_a_preview_has_the_first_words_and_the_last_figures(folder, monkeypatch):
    path = save(folder, "x", *(turn(n, f"Question {n}", ["a"] * 20) for n in range(1, 101)))
    monkeypatch.setattr(overviews, "END", path.stat().st_size // 10)
    found = preview(path)
    assert found.begun[0] == ("Question 1", "a" * 20)
    assert len(found.begun) == overviews.FIRST
    assert found.left_out > 0
    assert [row["turn_id"] for row in found.overview.rows][-1] == 100
    assert len(found.overview.rows) < 20
    with pytest.raises(EngineError):
        preview(folder / "none.jsonl")


@given(st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1))
def test_a_name_in_quotes_is_that_name(name):
    typed = quoted(name)
    assert unquoted(typed) == name
    assert typed == name or not typed.endswith(FOREVER)


# renaming, deleting, taking back


def test_a_rename_is_numbered_and_overwrites_nothing(folder):
    first, second = (save(folder, name, turn(1, name, ["a"])) for name in ("a", "b"))
    kept = first.read_bytes(), second.read_bytes()
    assert rename("b", "a", folder) == folder / "a-2.jsonl"
    assert rename("a", "a", folder) == folder / "a.jsonl"
    assert ((folder / "a.jsonl").read_bytes(), (folder / "a-2.jsonl").read_bytes()) == kept
    assert sorted(each.name for each in folder.iterdir()) == ["a-2.jsonl", "a.jsonl"]


def test_what_is_deleted_can_be_taken_back(folder):
    data = [save(folder, "x", turn(n, "Hi", ["a"])).read_bytes() for n in (1, 2)]
    save(folder, "x", turn(1, "Hi", ["a"]))
    assert delete("x", folder) == folder / "deleted" / "x.jsonl"
    assert names(folder) == []
    save(folder, "x", turn(2, "Hi", ["a"]))
    assert delete("x", folder) == folder / "deleted" / "x-2.jsonl"
    assert restore("x", folder).read_bytes() == data[0]
    assert restore("x-2", folder).read_bytes() == data[1]
    assert names(folder) == ["x", "x-2"]
    assert list((folder / "deleted").iterdir()) == []


def test_taking_back_overwrites_nothing(folder):
    save(folder, "x", turn(1, "old", ["a"]))
    delete("x", folder)
    newer = save(folder, "x", turn(1, "new", ["a"])).read_bytes()
    assert restore("x", folder) == folder / "x-2.jsonl"
    assert (folder / "x.jsonl").read_bytes() == newer


def test_what_was_torn_from_a_log_goes_with_it(folder):
    for verb in (lambda: delete("x", folder), lambda: restore("x", folder)):
        path = folder / "x.jsonl"
        if not path.exists() and not (folder / "deleted").exists():
            save(folder, "x", turn(1, "Hi", ["a"]))
            (folder / "x.jsonl.torn").write_text("secret")
        moved = verb()
        assert moved.with_name(f"{moved.name}.torn").read_text() == "secret"
    rename("x", "y", folder)
    delete_forever("y", folder)
    assert [each.name for each in folder.rglob("*")] == ["deleted"]


def test_a_torn_part_of_another_session_is_never_overwritten(folder):
    save(folder, "x", turn(1, "Hi", ["a"]))
    (folder / "y.jsonl.torn").write_text("of another")
    assert rename("x", "y", folder) == folder / "y-2.jsonl"
    assert (folder / "y.jsonl.torn").read_text() == "of another"


def test_forever_takes_the_session_and_then_the_deleted_one(folder):
    save(folder, "x", turn(1, "Hi", ["a"]))
    delete("x", folder)
    save(folder, "x", turn(1, "Hi", ["a"]))
    assert delete_forever("x", folder) == folder / "x.jsonl"
    assert (folder / "deleted" / "x.jsonl").exists()
    assert delete_forever("x", folder) == folder / "deleted" / "x.jsonl"
    with pytest.raises(EngineError, match="no session x"):
        delete_forever("x", folder)


VERBS = {
    "rename": lambda name, folder: rename(name, "other", folder),
    "delete": delete,
    "forever": delete_forever,
    "restore": restore,
}


@pytest.mark.parametrize("verb", VERBS)
def test_an_open_session_is_left_alone(folder, verb):
    save(folder, "x", turn(1, "Hi", ["a"]))
    if verb == "restore":
        delete("x", folder)
    log = Log.open(folder / ("deleted" if verb == "restore" else "") / "x.jsonl")
    assert log.path is not None
    with pytest.raises(EngineError, match="open in a"):
        VERBS[verb]("x", folder)
    assert log.path.exists()
    log.close()
    VERBS[verb]("x", folder)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_every_verb_has_the_same_rule_for_names(folder, tmp_path, name):
    outside = tmp_path / "x.jsonl"
    outside.write_text("not ours")
    save(folder, "real", turn(1, "Hi", ["a"]))
    verbs = {
        **VERBS,
        "rename to": lambda name, folder: rename("real", name, folder),
        "show": lambda name, _: report.show_report(name),
        "export": lambda name, _: report.export_report(name, "json", str(tmp_path)),
    }
    for run in verbs.values():
        with pytest.raises(EngineError) as refused:
            run(name, folder)
        assert str(refused.value).isprintable()
    assert outside.read_text() == "not ours"
    assert sorted(each.name for each in tmp_path.rglob("*")) == [
        "real.jsonl",
        "sessions",
        "x.jsonl",
    ]


def test_links_lead_nowhere(folder, tmp_path):
    outside = save(tmp_path / "outside", "x", turn(1, "Hi", ["a"]))
    folder.mkdir()
    (folder / "x.jsonl").symlink_to(outside)
    for run in VERBS.values():
        with pytest.raises(EngineError):
            run("x", folder)
    save(folder, "y", turn(1, "Hi", ["a"]))
    (folder / "deleted").symlink_to(outside.parent)
    for verb in ("delete", "restore"):
        with pytest.raises(EngineError, match="link"):
            VERBS[verb]("y", folder)
    assert [each.name for each in outside.parent.iterdir()] == ["x.jsonl"]


def test_only_a_file_is_a_session(folder):
    folder.mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(EngineError, match="no session"):
            find_session(name, folder)
        with pytest.raises(EngineError, match="no session"):
            delete(name, folder)


def test_a_near_miss_names_the_session(folder):
    save(folder, "first-chat", turn(1, "Hi", ["a"]))
    with pytest.raises(EngineError, match="Did you mean first-chat"):
        find_session("frist-chat", folder)


def test_the_verbs_answer_with_where_it_went(folder, capsys):
    save(folder, "x", turn(1, "Hi", ["a"]))
    report.rename_report("x", "y")
    report.delete_report("y")
    report.restore_report("y")
    report.delete_report("y", forever=True)
    told = capsys.readouterr().out
    assert "x is now y." in told
    assert "restore 'y'" in told
    assert "Restored: y" in told
    assert "Removed: " in told
    assert names(folder) == []


def test_a_turn_without_an_end_is_unfinished(folder, capsys):
    cut = [each for each in turn(1, "Hi", ["a", "b"]) if not isinstance(each, Stop)]
    path = save(folder, "x", cut)
    assert overview(read(path)).totals.unfinished == 1
    report.show_report("x")
    assert "unfinished" in capsys.readouterr().out


def test_what_comes_between_turns_belongs_to_none(folder):
    stray = [Step((1,), ("stray",), 0, 0, 5), Stop(6, "stop", tail="end")]
    path = save(folder, "x", stray, turn(1, "Hi", ["a"]), stray, turn(2, "Hi", ["b"]))
    assert [row["completion_tokens"] for row in overview(read(path)).rows] == [1, 1]
    assert not any(search(path, Words("stray")))


def test_settings_are_told_where_they_are_not_the_usual(folder, capsys):
    save(folder, "x", turn(1, "Hi", ["a"]), [Setting("temperature", 0.7)])
    report.show_report("x")
    assert "settings temperature 0.7" in capsys.readouterr().out
    assert Sampling().temperature == 0
