from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.fakes import Beat, ScriptedEngine, words
from tests.test_comparison import (
    CASES,
    HEADER,
    JUDGED,
    LOADED,
    PLAN,
    SAID,
    TURNS,
    answered,
    measured,
    records,
)
from tests.test_comparison import steady as ms
from tokenhud.engines.events import EngineError, Sample
from tokenhud.sessions.bench.comparison import compare
from tokenhud.sessions.bench.experiment import Experiment
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case
from tokenhud.sessions.bench.remarks import remarks
from tokenhud.sessions.bench.result import Result, result
from tokenhud.sessions.bench.tables import Table, as_markdown, as_text, tables
from tokenhud.sessions.bench.words import number
from tokenhud.sessions.clean import clean
from tokenhud.sessions.reading import Problem

SPITEFUL = [
    "a | b",
    "a\\| b",
    "`x` ``",
    "a\nb",
    "# a",
    "<script>alert(1)</script>",
    "<!-- -->",
    "[a](http://x)",
    "![a](b)",
    "*a* _b_ ~c~ $d$",
    "\x1b[31mred",
    "&lt;",
    "www.x.org",
    "a@b.c",
]


def named(found: Result, title: str, comparison=None) -> Table:
    (table,) = [e for e in tables(found, comparison) if e.title.startswith(title)]
    return table


def by_drafter(asked):
    return 20 if asked.drafter == "suffix" else 25


def ran(engine, plan=PLAN, cases=CASES) -> Result:
    kept = [HEADER, plan, *cases, LOADED]
    list(Experiment(engine, plan, cases, kept.append).run())
    return result(kept)


# what they tell


def test_a_matrix_has_a_row_a_case_and_a_column_a_method():
    table = named(measured(by_drafter, TURNS), "Decode, tok/s")
    assert table.head == ("case", "plain", "suffix")
    assert [row[0] for row in table.rows] == ["one", "two", "three", "four", "all cases"]
    assert table.rows[0] == ("one", "40.0 (40.0 to 40.0)", "50.0 (50.0 to 50.0)")
    assert "n = 5" in table.notes[0]


def test_where_counts_differ_each_cell_tells_its_own():
    engine = ScriptedEngine(*[[Beat(("a", "b"))]] * 10, [EngineError("No.")], [Beat(("a", "b"))])
    table = named(ran(engine), "TTFT, ms")
    assert [row[1].rpartition(" ")[2] for row in table.rows] == ["[5]", "[5]", "[4]", "[5]", "[4]"]


def test_totals_beside_each_other_are_over_the_cases_that_all_methods_answered():
    """Suffix fails the slow case, which would make it look the fastest."""

    def script(asked):
        slow = asked.message == CASES[1].text
        if slow and asked.drafter == "suffix":
            return [EngineError("No room.")]
        return words(SAID, ms=250 if slow else 25)

    found = answered(script, replace(TURNS, methods=methods(["plain", "suffix", "ngram"])))
    table = named(found, "Decode, tok/s")
    assert table.rows[1][2] == "–"
    assert set(table.rows[-1][1:]) == {"40.0 (40.0 to 40.0)"}
    left_out = "Not in the totals, as not every method has a figure: two."
    assert left_out in table.notes
    ratios = named(found, "Decode over that of plain")
    assert ratios.rows[-1] == ("all cases", *["1.00 (1.00 to 1.00)"] * 2)
    assert left_out in ratios.notes
    assert {row[6] for row in named(found, "Methods").rows} == {"25.0"}
    assert not any("Not in the totals" in " ".join(e.notes) for e in tables(measured(ms(25))))


def test_a_method_that_answered_nothing_has_no_total_and_spoils_none():
    def script(asked):
        return [EngineError("No room.")] if asked.drafter == "suffix" else words(SAID)

    table = named(answered(script), "Decode, tok/s")
    assert table.rows[-1] == ("all cases", "40.0 (40.0 to 40.0)", "–")
    assert len(table.notes) == 2


def test_each_method_ran_on_the_weights_that_answered_it():
    """A method that needs no load of its own answers on what another one left there."""

    class Engine(ScriptedEngine):
        def load(self, spec):
            model = replace(LOADED.model, name=f"The {spec.quantize} one")
            yield replace(LOADED, model=model, spec=spec)

    plan = replace(PLAN, methods=methods(["plain", "suffix", "int8"]), runs=1)
    kept = [HEADER, plan, *CASES[:1]]
    list(Experiment(Engine(), plan, CASES[:1], kept.append).run())
    found = result(kept)
    assert {each: found.model(each).model.name for each in found.methods} == {
        "plain": "The none one",
        "suffix": "The none one",
        "int8": "The int8 one",
    }
    told = dict(named(found, "Conditions").rows)
    assert "The int8 one" in told["model of int8"]
    assert "The none one" in told["model of plain, suffix"]


def test_ratios_are_to_the_first_method_with_their_intervals():
    table = named(measured(by_drafter, TURNS), "Decode over that of plain")
    assert table.head == ("case", "suffix")
    assert {row[1] for row in table.rows} == {"1.25 (1.25 to 1.25)"}
    assert "n = 5" in table.notes[0]
    assert not [e for e in tables(measured(ms(25))) if "over that of" in e.title]


def test_no_ratio_between_methods_that_pick_otherwise():
    plan = replace(TURNS, methods=methods(["plain", "temperature=1"]))
    table = named(measured(ms(25), plan), "Decode over that of plain")
    assert table.rows == []
    assert "temperature" in table.notes[0]


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_no_figure_is_without_its_count(runs):
    noise = random.Random(1)
    found = measured(lambda _: 25 * noise.lognormvariate(0, 0.1), replace(TURNS, runs=runs))
    for table in tables(found):
        if table.rows and table.title != "Conditions":
            told = " ".join((*table.head, *table.notes))
            assert re.search(r"\bn\b", told), table.title


def test_statistics_are_those_of_the_samples():
    noise = random.Random(1)
    found = measured(lambda _: 25 * noise.lognormvariate(0, 0.1), replace(PLAN, runs=20))
    values = found.values("decode_tps", "one", "plain")
    row = dict(zip(*(lambda t: (t.head, t.rows[0]))(named(found, "Statistics: Dec")), strict=True))
    assert (row["n"], row["min"], row["max"]) == ("20", number(min(values)), number(max(values)))
    assert row["mean"] == number(sum(values) / 20)
    assert row["p95"] != "–"


def test_what_is_not_known_is_a_dash():
    one = measured(ms(25), replace(PLAN, runs=1))
    row = named(one, "Statistics: Decode").rows[0]
    assert row == ("one", "plain", "1", "40.0", "40.0", "–", "–", "0", "40.0", "40.0", "–")
    assert not any("None" in as_text(each) or "nan" in as_text(each) for each in tables(one))


def test_conditions():
    cases = (CASES[0], Case("S1", "Hi", exact=16, changes={"ignore_eos": "on"}))
    kept = records(ms(25), TURNS, cases)
    kept.insert(3, Sample(0, cpu_percent=12.0))
    kept.insert(-3, Sample(1, cpu_percent=90.0, engine_cpu_percent=57.0))
    found = replace(result(kept), problems=(Problem(7, "is not JSON"),))
    told = dict(named(found, "Conditions").rows)
    assert "A processor, 2.0 cores usable" in told["processor"]
    assert (told["memory"], told["packages"]) == ("8.0 GiB", "torch 2.9")
    assert "sha256 " + "ab" * 32 in told["model"]
    assert "native on cpu, weights float32, 2 threads" in told["runs on"]
    assert told["passes"] == "5 through all cases, after 1 as a warm-up"
    assert "take turns" in told["order"]
    assert told["end tokens ignored in"] == "S1"
    assert told["answers"] == "20 measured, 4 warm-up"
    assert told["used by others before"] == "12 % of the machine"
    assert told["used by others during an answer, at most"] == "33 % of the machine"
    assert told["unreadable"] == "line 7 is not JSON"
    assert any("The machine was busy" in each for each in remarks(found))


def test_what_could_not_be_answered():
    table = named(ran(ScriptedEngine([EngineError("No.", "Do.")])), "Not answered")
    assert table.rows[0] == ("plain", "one", "No. Do.")
    assert table.first


def test_methods_and_their_memory_and_loading():
    found = measured(by_drafter, TURNS)
    suffix = dict(zip(named(found, "Methods").head, named(found, "Methods").rows[1], strict=True))
    assert (suffix["n"], suffix["tokens"], suffix["ms a token"]) == ("20", "140", "20.0")
    assert named(found, "Loading").rows == [("plain", "1", "0.001")]
    assert named(found, "Memory").rows[0] == ("plain", "20", "–", "–", "1 B", "1 B")
    assert named(found, "Words").rows[1] == ("suffix", "20", "4 of 4", "1", "–")


def test_acceptance_by_place_has_as_many_columns_as_the_longest_draft():
    class Engine(ScriptedEngine):
        def stream(self, request):
            drafted = 3 if request.spec.drafter == "suffix" else 1
            self._scripts = [[Beat(("a",), drafted, 1)]]
            return super().stream(request)

    plan = replace(PLAN, methods=methods(["ngram", "suffix"]))
    table = named(ran(Engine(), plan), "Acceptance by place")
    assert table.head == ("method", "1", "2", "3")
    assert table.rows[0] == ("ngram", "100 % of 20", "–", "–")
    assert table.rows[1] == ("suffix", "100 % of 20", "0 % of 20", "0 % of 20")


def test_a_verdict_comes_first_with_all_that_differs():
    faster, slower = measured(ms(25)), measured(ms(31.25))
    comparison = compare(slower, faster, *JUDGED)
    verdict = tables(slower, comparison)[0]
    assert verdict.title == "Verdict: regression"
    assert verdict.rows[0] == (
        *("all cases", "regression", "32.0", "40.0", "5, 5", "0.80 (0.80 to 0.80)"),
    )
    assert verdict.notes[0] == comparison.reason
    other = replace(LOADED, model=replace(LOADED.model, sha256="ef" * 32))
    unlike = result(records(ms(25), loaded=other))
    found = tables(unlike, compare(unlike, faster, *JUDGED))
    assert found[0].title == "Verdict: error"
    assert [row[3] for row in found[1].rows] == ["yes"]


# remarks


def test_which_method_is_best_where_and_which_loses():
    def speed(asked):
        fast = asked.drafter == "suffix" and asked.message == CASES[0].text
        return 20 if fast else 40 if asked.drafter == "suffix" else 25

    said = remarks(measured(speed, replace(TURNS, runs=7)))
    assert "one: suffix decodes 1.25 (1.25 to 1.25) times as fast as plain, n = 7." in said
    assert "suffix decodes slower than plain in two, three, four: " in " ".join(said)
    assert any(
        each.startswith("No method decodes faster than plain, beyond noise, in two")
        for each in said
    )


def test_one_of_many_comparisons_must_be_further_beyond_noise():
    """Five passes, all of them faster, happen by chance once in 32 times; to one of four cases, in
    eight times."""

    def speed(asked):
        return 20 if asked.drafter == "suffix" and asked.message == CASES[0].text else 25

    said = remarks(measured(speed, TURNS))
    assert not [each for each in said if each.startswith(("one: ", "suffix decodes slower"))]
    assert any("with 4 comparisons that takes 7 passes; there are 5." in each for each in said)
    assert any(each.startswith("all cases: suffix decodes") for each in said)
    three = replace(TURNS, methods=methods(["plain", "suffix", "ngram"]))
    assert not [each for each in remarks(measured(speed, three)) if each.startswith("all cases: ")]


@pytest.mark.parametrize("seed", range(10))
def test_two_methods_alike_but_for_noise_are_seldom_told_apart(seed):
    noise = random.Random(seed)
    found = measured(lambda _: 25 * noise.lognormvariate(0, 0.15), TURNS)
    said = [each for each in remarks(found) if each.startswith("all cases: suffix")]
    assert said == []


def test_too_few_passes_tell_nothing():
    said = " ".join(remarks(measured(by_drafter, replace(TURNS, runs=2))))
    assert "cannot be told of fewer than 3 passes" in said
    assert "decodes" not in said


@pytest.mark.parametrize(
    ("ms4", "says"), [(20, "Best of the sweep: gamma=4, 1.25"), (25, "are a tie")]
)
def test_the_best_of_a_sweep(ms4, says):
    plan = replace(PLAN, methods=methods(["gamma=2", "gamma=4"]), swept="gamma")

    class Engine(ScriptedEngine):
        def stream(self, request):
            self._scripts = [[Beat(("a",), ms=ms4 if request.spec.gamma == 4 else 25)] * 5]
            return super().stream(request)

    assert any(says in each for each in remarks(ran(Engine(), plan)))


def test_outliers_and_few_kept_drafts_are_said():
    engine = ScriptedEngine(
        *[
            [Beat(("a",), 5, 0, ms=25), Beat(("b",), 5, 1, ms=250 if n == 4 else 25)]
            for n in range(6)
        ]
    )
    said = " ".join(remarks(ran(engine, cases=CASES[:1])))
    assert "one, plain: Outliers are kept in all figures: run 4." in said
    assert "10 % of 50 drafted tokens were kept" in said


# how they are written


@given(st.lists(strategies.records, max_size=20))
@settings(max_examples=30)
def test_any_records_have_tables_that_a_terminal_can_show(items):
    for table in tables(result(items)):
        assert clean(as_text(table)) == as_text(table)
        assert clean(as_markdown([table])) == as_markdown([table])


def test_a_log_may_say_what_no_option_allows():
    kept = records(ms(25), TURNS)
    kept[2] = replace(kept[2], changes={"length": 0, "gamma": "x"})
    assert tables(result(kept))


@pytest.mark.parametrize("text", SPITEFUL)
def test_no_word_leaves_its_cell(text):
    told = as_markdown([Table(text, ("case", text), [(text, text)] * 2, [text])])
    heading, _, head, marks, *rows, _, note = told.strip().split("\n")
    for line in (head, marks, *rows):
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    for line in (heading[2:], *rows, note[2:]):
        assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]~#$!<]", re.sub(r"&#?\w+;", "", line))
        assert "://" not in line
        assert "www." not in line
        assert "@" not in line
    assert clean(told) == told


@given(st.text(max_size=30), st.text(max_size=30))
def test_rows_stay_rows(one, other):
    told = as_markdown([Table("t", ("a", "b"), [(one, other)])])
    assert len(told.strip().split("\n")) == 2 + 3
    assert as_text(Table("t", ("a", "b"), [(one, other)])).count("\n") == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- a", "&#45; a"),
        ("1. a", "1&#46; a"),
        ("1.5 a", "1.5 a"),
        ("+ a", "&#43; a"),
        ("a-b", "a-b"),
    ],
)
def test_no_note_begins_a_list(text, shown):
    assert as_markdown([Table("t", notes=[text])]).endswith(f"\n- {shown}\n")


def test_headings_of_the_level_that_is_asked_for():
    found = [Table("a", notes=["x"]), Table("b", notes=["y"])]
    assert as_markdown(found) == "## a\n\n- x\n\n## b\n\n- y\n"
    assert as_markdown(found, level=3).startswith("### a")


def test_columns_are_aligned_whatever_is_in_them():
    table = Table("t", ("case", "tok/s"), [("日本", "1.0"), ("abc", "10.0")])
    assert as_text(table) == "t\n\ncase  tok/s\n日本    1.0\nabc    10.0"


def test_a_wide_table_goes_on_below_with_its_first_column():
    table = Table("t", ("case", *"abc"), [("one", *("1234567890",) * 3)])
    told = as_text(table, 30)
    assert max(map(len, told.splitlines())) <= 30
    assert told.count("case") == told.count("one") == 2
    assert as_text(table).count("case") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (0.12345, "0.123"),
        (0.99999, "1.00"),
        (1, "1.00"),
        (9.999, "10.0"),
        (41.23, "41.2"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (-2.5, "-2.50"),
        (1e-7, "1e-07"),
    ],
)
def test_three_digits_that_matter(value, shown):
    assert number(value) == shown
