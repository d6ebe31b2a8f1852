"""Words in saved messages and answers."""

from __future__ import annotations

import json
import os

import pytest

from tests.saved import save, turn
from tokenhud.engines.events import EngineError
from tokenhud.sessions.search import Words, search
from tokenhud.tui.headless import sessions_report as report


def found(path, typed):
    """The hits alone, without the pauses between them."""
    return [hit for hit in search(path, Words(typed)) if hit]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path / "sessions"


def test_answers_are_searched_across_their_steps(folder):
    path = save(folder, "x", turn(1, "Why?", ["the s", "ky is", " bl", "ue"]))
    (hit,) = found(path, "BLUE sky")
    assert (hit.turn_id, hit.role) == (1, "assistant")
    assert "the sky is blue" in hit.excerpt


def test_every_word_must_stand_in_the_same_text(folder):
    path = save(folder, "x", turn(1, "sky", ["blue"]), turn(2, "Sky, blue?", ["No."]))
    hits = found(path, "blue sky")
    assert [(each.turn_id, each.role) for each in hits] == [(2, "user")]


@pytest.mark.parametrize(
    ("typed", "said"), [("ÜBER", "über"), ("caf\u00e9", "cafe\u0301"), (".*", "a .* b")]
)
def test_case_and_composition_do_not_matter_and_patterns_are_text(folder, typed, said):
    path = save(folder, "x", turn(1, said, ["nothing"]))
    assert [hit.role for hit in found(path, typed)] == ["user"]


def test_an_excerpt_is_short_and_clean(folder):
    long = "x" * 5000 + " \x1b[2J\nneedle\n " + "y" * 5000
    (hit,) = found(save(folder, "x", turn(1, long, ["a"])), "needle")
    assert "needle" in hit.excerpt
    assert len(hit.excerpt) < 120
    assert hit.excerpt.isprintable()


def test_hits_of_all_sessions_come_newest_first(folder, capsys):
    for age, name in enumerate(["new", "old"]):
        path = save(folder, name, turn(1, f"sky {name}", ["a"]))
        os.utime(path, (1000 - age, 1000 - age))
    (folder / "broken.jsonl").write_bytes(b"\x1f\x8b")
    assert report.search_report("sky") == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["new", "old"]
    assert "broken" in told.err
    assert report.search_report("sky", limit=1, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["session"] == "new"
    assert report.search_report("sea") == 1
    with pytest.raises(EngineError, match="nothing to search"):
        report.search_report("  ")
