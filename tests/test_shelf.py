"""The kept results as a collection, through the library and through /results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import ScriptedEngine, chat_with
from tests.test_places import forbid
from tokenhud.engines.events import EngineError, Progress
from tokenhud.sessions.appending import Appender
from tokenhud.sessions.bench.saved_results import kept, kept_if_readable, looked
from tokenhud.sessions.bench.shelf import delete, find_result, restore
from tokenhud.tui.commands import grammar
from tokenhud.tui.commands.grammar import Call
from tokenhud.tui.commands.results import RESULTS


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path / "results"


def single(results: Path, name: str) -> Path:
    path = results / name
    path.mkdir(parents=True)
    (path / "kernels.json").write_text(json.dumps({"figure": name}))
    return path


def say(tmp_path: Path, line: str) -> tuple[str, bool]:
    chat = chat_with(ScriptedEngine(), tmp_path / "sessions")
    call = grammar.parse(line, RESULTS)
    assert isinstance(call, Call)
    reply = grammar.run(chat, call)
    told = [reply.text, *(reply.job() if reply.job else [])]
    chat.close()
    return "\n".join(str(each) for each in told if not isinstance(each, Progress)), reply.ok


def test_what_is_deleted_can_be_taken_back_and_overwrites_nothing(results):
    single(results, "x")
    assert delete("x", results) == results / "deleted" / "x"
    assert kept(results) == []
    single(results, "x")
    assert restore("x", results) == results / "x-2"
    assert delete("x", results) == results / "deleted" / "x"
    assert [each.path.name for each in kept(results)] == ["x-2"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "x/../../y", "deleted", "none", "link"])
def test_a_name_leads_out_of_no_folder(results, tmp_path, name):
    single(results, "x")
    single(results.parent, "outside")
    (results / "link").symlink_to(tmp_path / "outside")
    (results / "deleted").mkdir()
    for verb in (delete, restore, find_result):
        with pytest.raises(EngineError):
            verb(name, results)
    assert (tmp_path / "outside").is_dir()


def test_a_result_that_is_still_measured_is_left_alone(results):
    file = Appender(single(results, "x") / "runs.jsonl", new=True)
    with pytest.raises(EngineError, match="still being measured"):
        delete("x", results)
    file.close()
    delete("x", results)


def test_a_near_miss_is_named(results):
    single(results, "before")
    with pytest.raises(EngineError, match="Did you mean before"):
        find_result("befor", results)


def test_what_holds_no_result_is_told_with_its_fault(results):
    single(results, "good")
    (results / "empty").mkdir()
    (results / "broken").mkdir()
    (results / "broken" / "runs.jsonl").write_bytes(b"\x1f\x8b")
    faults = {each.path.name: each.fault for each in looked(results)}
    assert faults["good"] == ""
    assert faults["empty"] == "It holds no result."
    assert "gzip" in faults["broken"]
    assert [each.path.name for each in kept(results)] == ["good"]


def test_a_folder_that_refuses_is_told_and_not_called_empty(results, monkeypatch, tmp_path):
    single(results, "x")
    forbid(monkeypatch, results)
    for verb in (lambda: kept(results), lambda: find_result("x", results)):
        with pytest.raises(EngineError, match="cannot be reached: Permission denied"):
            verb()
    assert kept_if_readable(results) == []
    for line in ("", " list", " list deleted", " show x", " delete x", " restore x"):
        assert "Permission denied" in say(tmp_path, f"/results{line}")[0]


def test_results_are_listed_shown_deleted_and_restored_by_lines(results, tmp_path):
    assert "No result is kept yet" in say(tmp_path, "/results")[0]
    single(results, "it's [b]one")
    assert "kernels.json" in say(tmp_path, "/results list")[0]
    assert "figure" in say(tmp_path, "/results show it's [b]one")[0]
    told, ok = say(tmp_path, "/results delete it's [b]one")
    assert ok
    assert "/results restore it's [b]one takes it back" in told
    assert "kernels.json" in say(tmp_path, "/results list deleted")[0]
    assert "is back" in say(tmp_path, '/results restore "it\'s [b]one"')[0]


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    "line", ["/results show", "/results delete x", "/results list all", "/results forget x"]
)
def test_what_cannot_be_done_is_told(tmp_path, line):
    told, ok = say(tmp_path, line)
    assert told
    assert not ok
