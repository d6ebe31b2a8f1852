from __future__ import annotations

import csv
import io
import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests import strategies
from tests.saved import save, session, turn
from tests.test_log import files_no_larger_than
from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Spec
from tokenhud.sessions.clean import clean
from tokenhud.sessions.export import FORMS, destination, export
from tokenhud.sessions.export_csv import STEP_COLUMNS, harmless
from tokenhud.sessions.export_rows import COLUMNS
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Undo
from tokenhud.sessions.writing import save_new
from tokenhud.tui.headless import sessions_report as report

DOCS = Path(__file__).parents[1] / "docs"
SCHEMA = Draft202012Validator(json.loads((DOCS / "session.schema.json").read_text("utf-8")))
SUFFIX = Spec(drafter="suffix")
TWO = [turn(1, "Hi", ["Hel", "lo"]), turn(2, "Again", ["a"] * 11, SUFFIX, ms=20)]


def written(form, items, name="x"):
    out = io.StringIO()
    FORMS[form].write(name, items, out)
    return out.getvalue()


def table(form, items):
    return list(csv.DictReader(io.StringIO(written(form, items))))


# csv


def test_a_row_a_turn():
    cold, warm = table("csv", session(*TWO))
    assert list(cold) == list(COLUMNS)
    assert (cold["turn_id"], cold["prompt"], cold["answer"]) == ("1", "Hi", "Hello")
    assert (cold["cache_state"], cold["draft_acceptance_rate"]) == ("cold", "")
    assert (warm["drafter"], warm["completion_tokens"]) == ("suffix", "11")
    assert float(warm["decode_tps"]) == pytest.approx(50)
    assert float(warm["ttft_ms"]) == 100
    assert float(warm["draft_acceptance_rate"]) == 0.5


def test_a_row_a_step():
    rows = table("steps", session(*TWO))
    assert list(rows[0]) == list(STEP_COLUMNS)
    assert [(each["turn_id"], each["step"]) for each in rows[:3]] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
    ]
    assert len(rows) == 13
    assert [each["text"] for each in rows[:2]] == ["Hel", "lo"]
    assert [float(each["since_start_ms"]) for each in rows[2:4]] == [100, 120]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", " \n=1", "\r=1", "\uff1d1", "-", "\x00=1"]
)
def test_no_cell_is_a_formula(text):
    (row,) = table("csv", session(turn(1, text, [text])))
    for cell in (row["prompt"], row["answer"]):
        assert re.match(r"'|\N{REPLACEMENT CHARACTER}", cell)


@given(st.text(max_size=20))
def test_what_is_no_formula_is_left_as_it_is(text):
    found = harmless(text)
    assert found in (clean(text), f"'{clean(text)}")
    assert not found.lstrip().startswith(("=", "+", "-", "@"))


def test_every_text_is_quoted_so_that_no_separator_splits_it():
    told = written("csv", session(turn(1, 'a;=1+1\t"b"\n,c', ["x"])))
    assert '"a;=1+1\t""b""\n,c"' in told
    assert '"suffix"' in written("csv", session(turn(1, "Hi", ["x"], SUFFIX)))


# json


def test_the_json_has_the_form_it_says_it_has(tmp_path):
    path = save(tmp_path, "x", *TWO, [Undo(2)], TWO[1][:4])
    with path.open("ab") as file:
        file.write(b"?\n")
    found = json.loads(written("json", read(path)))
    SCHEMA.validate(found)
    assert [each["answer"] for each in found["turns"]] == ["Hello", "a" * 11, "a"]
    assert found["turns"][2]["finish_reason"] is None
    assert found["turns"][1]["spec_decode"]["acceptance_by_position"] == [1, 0]
    assert (found["undone"], found["problem_count"], found["model"]["name"]) == ([2], 1, "Script")
    assert found["problems"][0]["line"] == path.read_bytes().count(b"\n")


@given(st.lists(strategies.records | st.builds(Problem, st.integers(1), st.text()), max_size=20))
def test_any_records_can_be_exported(items):
    found = json.loads(written("json", items))
    SCHEMA.validate(found)
    assert len(table("csv", items)) == len(found["turns"])
    for form in FORMS:
        assert clean(written(form, items)) == written(form, items) or form == "json"
    assert written("json", items).isascii()


def test_an_empty_session_can_be_exported():
    SCHEMA.validate(json.loads(written("json", [])))
    assert table("csv", []) == []


# Markdown and text

SPITEFUL = [
    "```",
    "`````\n# Turn 9\n````",
    "~~~\n# Turn 9",
    "</pre>\n\n# Turn 9",
    "```text\nx\n```\n\n## Turn 9\n",
    "a\r```\rb",
    "\u2028```\u2028",
    "    ```",
    "` `` ``` ````",
]


@pytest.mark.parametrize("text", SPITEFUL)
def test_what_was_said_stays_in_its_block(text):
    told = written("md", session(turn(1, text, [text]), turn(2, "Hi", ["a"])))
    assert outside_of_fences(told).count("## ") == 4
    assert "Turn 9" not in outside_of_fences(told)
    assert told.count(f"text\n{clean(text)}\n`") == 2


@given(st.text(st.sampled_from("`~\n #text"), max_size=30))
def test_no_text_ends_its_fence(text):
    told = written("md", session(turn(1, text, ["a"])))
    (block,) = re.findall(r"You:\n\n(`+)text\n((?:.|\n)*?)\n\1\n\nAnswer:", told)
    assert block[1] == text
    assert outside_of_fences(told).count("Answer:") == 1


def outside_of_fences(told: str) -> str:
    """As CommonMark has it: a fence ends with at least as many marks, indented by 3 at most."""
    kept, fence = [], ""
    for line in told.split("\n"):
        if fence:
            closes = re.fullmatch(r" {0,3}(`{3,})[ \t]*", line)
            fence = "" if closes and len(closes[1]) >= len(fence) else fence
        elif opens := re.match(r" {0,3}(`{3,})[^`]*$", line):
            fence = opens[1]
        else:
            kept.append(line)
    assert not fence
    return "\n".join(kept)


def test_text_is_indented_so_that_it_looks_like_nothing_else():
    told = written("text", session(turn(1, "Turn 9\n------", ["\nTurn 9"])))
    ours = [line for line in told.splitlines() if line and not line.startswith("    ")]
    assert not any("Turn 9" in line for line in ours)
    assert "    Turn 9\n    ------\n" in told


@pytest.mark.parametrize("form", ["md", "text"])
def test_a_transcript_has_its_figures_and_what_is_wrong(form):
    told = written(form, [*session(*TWO), Undo(2), Problem(7, "is not JSON")])
    for words in ("suffix γ auto", "50.0 tok/s", "TTFT 100 ms", "Taken back: turns 2", "line 7 is"):
        assert words in told


def test_names_are_quoted_in_markdown():
    told = written("md", session(), name="a`b [x](y) <i>")
    assert told.startswith("## Session `` a`b [x](y) <i> ``\n")


# files


@pytest.mark.parametrize("form", FORMS)
def test_a_file_for_its_owner_that_overwrites_nothing(tmp_path, form):
    paths = [export("x", session(*TWO), form, str(tmp_path)) for _ in range(2)]
    suffix = FORMS[form].suffix
    assert paths[0] == tmp_path / f"x{suffix}"
    assert paths[0] != paths[1]
    assert (
        paths[0].read_text("utf-8") == paths[1].read_text("utf-8") == written(form, session(*TWO))
    )
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600


def test_where_an_export_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert destination("", "x.csv") == tmp_path / "x.csv"
    assert destination("y.csv", "x.csv") == tmp_path / "y.csv"
    assert destination("home", "x.csv") == tmp_path / "home" / "x.csv"
    assert destination("~", "x.csv") == tmp_path / "home" / "x.csv"
    assert destination("~/z", "x.csv") == tmp_path / "home" / "z"
    for bad in ("none/x.csv", "a\0b", "a\nb", "~nobody-here/x"):
        with pytest.raises(EngineError):
            destination(bad, "x.csv")


def test_nothing_is_left_of_an_export_that_fails(tmp_path):
    with files_no_larger_than(100), pytest.raises(EngineError, match="cannot be written"):
        export("x", session(*TWO), "json", str(tmp_path))

    def break_off(_file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_new(tmp_path / "y", break_off)
    with pytest.raises(EngineError, match="no session file"):
        export("x", read(tmp_path / "missing"), "csv", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "x.csv").symlink_to(tmp_path / "elsewhere")
    assert export("x", session(*TWO), "csv", str(tmp_path)) == tmp_path / "x-2.csv"
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_exports_to_a_file_or_to_standard_output(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    path = save(tmp_path / "sessions", "x", *TWO)
    report.export_report("x", "json", str(tmp_path))
    assert capsys.readouterr().out == f"Written: {tmp_path / 'x.json'}\n"
    report.export_report("x", "csv", "-", steps=True)
    assert capsys.readouterr().out == written("steps", read(path))
    with pytest.raises(EngineError, match="Only csv"):
        report.export_report("x", "json", steps=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["sessions", "x.json"]


def test_the_document_names_every_column():
    told = (DOCS / "sessions.md").read_text("utf-8")
    part = re.findall(r"<!-- columns -->(.*)<!-- end of columns -->", told, re.DOTALL)[0]
    assert set(re.findall(r"`([a-z0-9_]+)`", part)) - {"cold"} == {*COLUMNS, *STEP_COLUMNS}
