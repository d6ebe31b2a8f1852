from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.experiment import Told
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case, Plan
from tokenhud.sessions.bench.result import RAW, Result, read_result
from tokenhud.sessions.bench.running import run_plan
from tokenhud.sessions.bench.runs import Run
from tokenhud.sessions.trials import CancelledError

from .fakes import ScriptedEngine, words

CASES = (Case("one", "First words.", expected="there"), Case("two", "Second words."))
PLAN = Plan("bench", methods(["plain", "suffix"]), Spec(), Sampling(seed=0), runs=2, warmup=1)


def finished(engine: ScriptedEngine, folder: Path, plan: Plan = PLAN) -> Result:
    running = run_plan(engine, plan, CASES, folder, idle=0)
    while True:
        try:
            next(running)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def interrupt(engine: ScriptedEngine, folder: Path, after: int) -> list[Told]:
    told: list[Told] = []
    for each in run_plan(engine, PLAN, CASES, folder, idle=0):
        told.append(each)
        if sum(isinstance(one, Run) for one in told) == after:
            engine.cancel()  # in the middle of the next answer
    return told


def test_a_result_is_read_from_the_raw_log_alone(tmp_path: Path):
    found = finished(ScriptedEngine(words("Hello there.")), tmp_path / "out")
    assert read_result(tmp_path / "out") == read_result(tmp_path / "out" / RAW) == found
    assert found.plan == PLAN
    assert found.cases == CASES
    assert found.methods == ("plain", "suffix")
    assert found.case_names == ("one", "two")
    assert len(found.measured) == 8
    assert found.values("decode_tps", "one", "plain") == [40.0, 40.0]
    assert [each.right for each in found.of("one", "suffix")] == [True, True]
    assert found.of("two", "plain")[0].right is None
    assert found.header is not None
    assert found.header.environment["machine_info"]["cpu"]


def test_no_result_is_written_over(tmp_path: Path):
    first = finished(ScriptedEngine(), tmp_path / "out")
    second = finished(ScriptedEngine(), tmp_path / "out")
    assert first.path == tmp_path / "out" / RAW
    assert second.path == tmp_path / "out-2" / RAW
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep", "utf-8")
    assert finished(ScriptedEngine(), other).path == tmp_path / "mine-2" / RAW
    assert (other / "notes.txt").read_text("utf-8") == "keep"


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path):
    engine = ScriptedEngine(words("Hello there."))
    with pytest.raises(CancelledError):
        interrupt(engine, tmp_path / "out", after=7)
    assert len(read_result(tmp_path / "out").measured) == 3
    again = ScriptedEngine(words("Hello there."))
    whole = finished(again, tmp_path / "out")
    assert whole.path == tmp_path / "out" / RAW
    assert len(whole.measured) == 8
    assert len(again.requests) == 10  # four warm-ups, and three passes of two


def test_another_plan_does_not_go_on_with_this_one(tmp_path: Path):
    with pytest.raises(CancelledError):
        interrupt(ScriptedEngine(), tmp_path / "out", after=5)
    other = finished(ScriptedEngine(), tmp_path / "out", replace(PLAN, runs=1))
    assert other.path == tmp_path / "out-2" / RAW


def test_another_machine_does_not_go_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CancelledError):
        interrupt(ScriptedEngine(), tmp_path / "out", after=7)
    monkeypatch.setattr("tokenhud.sessions.chat.environment", lambda: {"machine_info": {}})
    assert finished(ScriptedEngine(), tmp_path / "out").path == tmp_path / "out-2" / RAW


def test_a_torn_line_is_set_aside_and_the_rest_goes_on(tmp_path: Path):
    with pytest.raises(CancelledError):
        interrupt(ScriptedEngine(), tmp_path / "out", after=7)
    raw = tmp_path / "out" / RAW
    with raw.open("ab") as file:
        file.write(b'{"seq":99,"type":"st')
    assert len(finished(ScriptedEngine(), tmp_path / "out").measured) == 8
    assert all(json.loads(line) for line in raw.read_text("utf-8").splitlines())


def test_a_folder_that_cannot_be_made_is_told_before_anything_runs(tmp_path: Path):
    (tmp_path / "file").write_text("", "utf-8")
    engine = ScriptedEngine()
    with pytest.raises(EngineError, match="cannot be written"):
        finished(engine, tmp_path / "file" / "out")
    assert engine.requests == []


def test_what_is_no_result_is_told(tmp_path: Path):
    with pytest.raises(EngineError, match=f"holds no {RAW}"):
        read_result(tmp_path)
    with pytest.raises(EngineError, match="is not there"):
        read_result(tmp_path / "no.jsonl")
