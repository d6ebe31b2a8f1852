"""The browser of kept results, through its keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import ScriptedEngine, words
from tests.test_browsers import browser
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.asking import benchmark
from tokenhud.sessions.bench.running import run_plan
from tokenhud.sessions.places import list_sessions
from tokenhud.tui.screens.results import ResultsScreen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path


def measured(folder: Path, *methods: str, ms: float = 25) -> Path:
    plan, cases = benchmark(
        ["code", "rewrite"], (), list(methods or ("plain", "suffix")), Spec(), Sampling()
    )
    engine = ScriptedEngine(words("one two three four five six", ms))
    for _ in run_plan(engine, replace(plan, runs=3, warmup=1), cases, folder, idle=0):
        pass
    return folder


async def test_results_are_listed_with_a_verdict_and_shown_in_tables_and_charts(home: Path) -> None:
    measured(home / "results" / "a")
    (home / "results" / "foreign").mkdir()
    (home / "results" / "broken").mkdir()
    (home / "results" / "broken" / "runs.jsonl").write_bytes(b"\x1f\x8b")
    async with browser(home, "f5") as at:
        await at.until(lambda: at.names == ["a", "foreign", "broken"] and at.cell(0, "rate"))
        assert at.cell(0, "rate") == "40.0"
        assert at.cell(0, "verdict") == "none is faster than plain"
        assert "holds no result" in at.cell(1, "verdict")
        assert "gzip" in at.cell(2, "verdict")
        await at.until(lambda: "Decode, tok/s" in at.shown("text"))
        assert "Decode by prompt" in at.shown("text")
        await at.press("right")
        await at.until(lambda: at.shown("text").startswith("Decode by prompt"))
        assert at.shown("head").startswith("a · 2 of ")
        await at.press("left", "left")
        await at.until(lambda: "step by step" in at.shown("text"))
        await at.press("enter")
        await at.until(lambda: "Statistics: Decode" in at.shown("text"))
        assert not at.table.display
        await at.press("escape")
        assert at.table.display
        await at.press("down")
        await at.until(lambda: at.shown("text") == "It holds no result.")


async def test_two_results_are_compared(home: Path) -> None:
    measured(home / "results" / "a", "plain")
    measured(home / "results" / "b", "plain", ms=50)
    async with browser(home, "f5") as at:
        await at.until(lambda: len(at.names) == 2)
        at.table.move_cursor(row=at.names.index("a"))
        await at.press("space")
        assert "✓ a" in at.names
        at.table.move_cursor(row=at.names.index("b"))
        await at.press("space", "c")
        await at.until(lambda: "Verdict: regression" in at.shown("text"))
        assert "There, the reference: a plain" in at.shown("text")
        await at.press("escape")
        await at.until(lambda: "Verdict" not in at.shown("text"))
        assert isinstance(at.at.app.screen, ResultsScreen)


async def test_a_comparison_ends_where_a_mark_is_taken_off(home: Path) -> None:
    measured(home / "results" / "a", "plain")
    measured(home / "results" / "b", "plain", ms=50)
    async with browser(home, "f5") as at:
        await at.until(lambda: len(at.names) == 2)
        await at.press("space", "end", "space", "c")
        await at.until(lambda: "Verdict" in at.shown("text"))
        await at.press("space")
        assert "Compare" not in at.keys
        await at.pilot.resize_terminal(100, 30)
        await at.until(lambda: "1 of" in at.shown("head"))


async def test_results_are_deleted_quickly_and_taken_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        (home / "results" / name).mkdir(parents=True)
    async with browser(home, "f5") as at:
        await at.until(lambda: at.names == list("dcba"))
        with monkeypatch.context() as slow:
            slow.setattr(at.screen, "list_again", lambda: None)
            await at.press("d", "d", "d")
            assert at.names == ["a"]
        await at.pilot.press("u", "u", "u")
        await at.until(lambda: at.names == list("dcba"))
        assert not {"Mark", "Copy", "Charts"} & at.keys


async def test_a_result_is_deleted_taken_back_and_copied(home: Path) -> None:
    path = measured(home / "results" / "it's a name")
    async with browser(home, "f5") as at:
        await at.until(lambda: at.names)
        await at.press("y")
        await at.until(lambda: "copied" in at.shown("said"))
        assert at.at.app.clipboard.startswith("# Results")
        await at.press("d")
        await at.until(lambda: at.names == [])
        assert "No result is kept" in at.shown("text")
        assert not path.exists()
        await at.press("u")
        await at.until(lambda: at.names == ["it's a name"])
        assert path.is_dir()
        assert list_sessions(home / "sessions") == []
