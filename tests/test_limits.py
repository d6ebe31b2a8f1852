from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError
from tokenhud.engines.measured import Measured
from tokenhud.sessions.bench.judging import Key, exit_status, judge, judge_all
from tokenhud.sessions.bench.limits import BOUNDS, Limit, packaged_limits, read_limits, select
from tokenhud.sessions.bench.measurements import read_values
from tokenhud.sessions.writing import write_new
from tokenhud.tui.headless.kpi_report import report_kpis

SPEED = Limit("speed", "decode_tps", "at_least", 20.0, unit="tok/s", form=".1f", command="bench")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
ENTRY = '[[kpi]]\nname = "speed"\nmetric = "decode_tps"\nat_least = 20\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_packaged_limits_are_those_of_the_documents() -> None:
    found = {each.name: each for each in packaged_limits()}
    asked = {name: (each.asked, each.missed) for name, each in found.items()}
    assert asked["BK-Core speed-up"] == ("≥ 3.00×", "FAIL")
    assert asked["BK-Core MSE"] == ("< 1.00e-06", "FAIL")
    assert asked["peak memory"] == ("< 8.00 GB", "FAIL")
    assert asked["throughput"] == ("≥ 100.0 tok/s", "WARN")
    assert asked["utilisation"] == ("≥ 95.0%", "WARN")
    assert asked["launch overhead"] == ("< 10.00 µs", "WARN")
    assert len(found) == len(packaged_limits())
    assert all(each.condition and each.command for each in packaged_limits())


def test_an_entry_takes_what_it_says_and_the_usual_for_the_rest(tmp_path: Path) -> None:
    (found,) = read_limits(written(tmp_path, ENTRY))
    assert found == Limit("speed", "decode_tps", "at_least", 20.0)
    more = (
        'case = "S1"\nmethod = "suffix"\nunit = "s"\nform = ".2f"\nmissed = "WARN"\nof = "best"\n'
    )
    (found,) = read_limits(written(tmp_path, ENTRY + more))
    assert (found.case, found.method, found.missed, found.of) == ("S1", "suffix", "WARN", "best")
    assert found.asked == "≥ 20.00 s"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mine.toml must hold entries"),
        ("kpi = 3", "must hold entries"),
        ("kpi = []", "must hold entries"),
        (ENTRY + "[other]\nx = 1", "must hold entries"),
        ("[[kpi]\n", "mine.toml is not TOML"),
        ("kpi = [1]", "kpi 1: an entry is a table"),
        (ENTRY + ENTRY.replace('metric = "decode_tps"\n', ""), r"kpi 2 \(speed\): metric is miss"),
        (ENTRY.replace('name = "speed"\n', ""), "kpi 1: name is missing"),
        (ENTRY + 'colour = "red"', r"kpi 1 \(speed\): there is no key colour"),
        (ENTRY + "unit = 3", "unit is a text"),
        (ENTRY + "below = 30", "one of .* is needed, at_least and below are given"),
        (ENTRY.replace("at_least = 20\n", ""), "one of at_least, at_most, below is needed, none"),
        (ENTRY.replace("20", '"20"'), "at_least is a number"),
        (ENTRY.replace("20", "true"), "at_least is a number"),
        (ENTRY.replace("20", "nan"), "at_least is a number"),
        (ENTRY.replace("20", "inf"), "at_least is a number"),
        (ENTRY.replace("20", "1" + "0" * 400), "at_least is a number"),
        (ENTRY + 'missed = "maybe"', "missed is FAIL or WARN"),
        (ENTRY + 'of = "some"', "of is each or best"),
        (ENTRY + 'form = "999999999.2f"', "form is a format"),
        (ENTRY + 'form = "{x}"', "form is a format"),
    ],
)
def test_a_fault_names_file_entry_and_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(EngineError, match=told) as raised:
        read_limits(written(tmp_path, text))
    assert "mine.toml" in raised.value.what
    assert raised.value.what.count(".\n") == 0


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        read_limits(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EngineError, match="is not TOML"):
        read_limits(tmp_path / "bytes.toml")


@given(st.binary(max_size=200))
def test_no_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("limits") / "any.toml"
    path.write_bytes(raw)
    with pytest.raises(EngineError):
        read_limits(path)


@given(st.sampled_from(sorted(BOUNDS)), NUMBERS, NUMBERS)
def test_a_limit_is_met_on_its_side_of_the_target(bound: str, target: float, value: float) -> None:
    met = {"at_least": value >= target, "at_most": value <= target, "below": value < target}
    limit = Limit("x", "m", bound, target)
    assert judge(limit, Measured(value)).status == ("PASS" if met[bound] else "FAIL")
    assert judge(replace(limit, missed="WARN"), Measured(math.nan)).status == "WARN"


@given(st.lists(NUMBERS, min_size=1, max_size=6), NUMBERS, st.booleans())
def test_each_of_several_must_reach_it_or_the_best(
    values: list[float], target: float, best: bool
) -> None:
    found = {Key("m", str(at), "x"): Measured(value) for at, value in enumerate(values)}
    found[Key("other", "0", "x")] = Measured(-1e9)
    limit = Limit("x", "m", "at_least", target, of="best" if best else "each")
    (verdict,) = judge_all([limit], found)
    chosen = max(values) if best else min(values)
    assert verdict.measured == chosen
    assert verdict.status == ("PASS" if chosen >= target else "FAIL")
    assert (len(values) > 1) == ("of" in verdict.reason)


def test_a_case_and_a_method_say_which_figures_are_meant() -> None:
    found = {
        Key("decode_tps", case, method): Measured(rate)
        for case, method, rate in (("S1", "plain", 10), ("S1", "suffix", 30), ("S2", "suffix", 25))
    }
    limits = [
        SPEED,
        replace(SPEED, method="suffix"),
        replace(SPEED, case="S1", method="suffix"),
        replace(SPEED, case="S3"),
    ]
    verdicts = judge_all(limits, found)
    assert [each.measured for each in verdicts] == [10, 25, 30, None]
    assert [each.status for each in verdicts] == ["FAIL", "PASS", "PASS", "SKIPPED"]
    assert verdicts[0].reason == "the worst of 3: S1, plain"
    assert verdicts[3].reason == "not measured; run bench"


@pytest.mark.parametrize(
    ("bound", "above", "status"),
    [
        ("below", 80.0, "FAIL"),
        ("below", 8.0, "FAIL"),
        ("below", 7.9, "SKIPPED"),
        ("at_most", 80.0, "FAIL"),
        ("at_least", 80.0, "PASS"),
        ("at_least", 7.9, "SKIPPED"),
        ("at_least", None, "SKIPPED"),
    ],
)
def test_what_is_only_known_to_exceed_something(
    bound: str, above: float | None, status: str
) -> None:
    verdict = judge(Limit("x", "m", bound, 8.0), Measured(None, "out of memory", above))
    assert (verdict.status, verdict.measured, verdict.reason) == (status, None, "out of memory")


def test_an_error_outweighs_what_was_measured() -> None:
    found = {Key("m", "a"): Measured(99.0), Key("m", "b"): Measured(None, "broke", failed=True)}
    (verdict,) = judge_all([Limit("x", "m", "at_least", 1.0)], found)
    assert verdict.status == "ERROR"
    assert "broke" in verdict.reason


def test_the_exit_status_is_of_the_worst() -> None:
    assert exit_status({"PASS", "SKIPPED", "WARN"}) == 0
    assert exit_status({"PASS", "FAIL", "WARN"}) == 1
    assert exit_status({"FAIL", "ERROR"}) == 3
    assert exit_status(set()) == 0


RESULT = {
    "results": [
        {"case": "S1", "method": "plain", "decode_tps": {"median": 20.5, "n": 5}, "note": "x"},
        {"case": "S1", "method": "suffix", "decode_tps": {"median": None}, "speedup": 1.5},
        "no row",
    ],
    "derived": {"prefill_r2": 0.99, "decode_cv": None, "cold": True},
}


def test_figures_of_a_folder_of_results(tmp_path: Path) -> None:
    write_new(tmp_path, "result.json", RESULT)
    rows = [{"kind": "none", "speedup": 1.0}, {"kind": "int8", "speedup": 1.3, "loss": 0.002}]
    write_new(tmp_path, "quant.json", {"rows": rows})
    write_new(tmp_path, "phase2_memory_kpi.json", {"memory_gb": 9.0})
    write_new(tmp_path, "phase2_memory_kpi.json", {"memory_gb": 4.0})  # the later one counts
    assert {key: found.value for key, found in read_values(tmp_path).items()} == {
        Key("decode_tps", "S1", "plain"): 20.5,
        Key("speedup", "S1", "suffix"): 1.5,
        Key("prefill_r2"): 0.99,
        Key("speedup", method="int8"): 1.3,
        Key("loss", method="int8"): 0.002,
        Key("memory_gb"): 4.0,
    }


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '"\\ud800'])
def test_a_file_that_holds_no_results_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(EngineError, match="holds no results"):
        read_values(tmp_path)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(EngineError, match=r"result\.json"):
        read_values(tmp_path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.just(10**400)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"results": JSON, "derived": JSON}))
def test_any_record_gives_numbers_or_none_at_all(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("results")
    (folder / "result.json").write_text(json.dumps(record))
    try:
        found = read_values(folder)
    except EngineError:
        return
    assert all(math.isfinite(each.value or 0.0) for each in found.values())


def test_a_folder_is_judged_by_a_file_of_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_new(tmp_path, "result.json", RESULT)
    hostile = ENTRY.replace('"speed"', '"speed \\u001b[31m"') + 'unit = "tok/s"\nform = ".1f"\n'
    limits = written(tmp_path, hostile + ENTRY.replace("decode_tps", "speedup"))
    assert report_kpis([], 1, 1, False, None, limits, tmp_path) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["PASS", "speed", "�[31m", "20.5", "tok/s", "≥", "20.0", "tok/s"]
    assert second.startswith("FAIL")
    assert report_kpis(["decode_tps"], 1, 1, True, None, limits, tmp_path) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["kpi_status"], record["measured"], record["bound"]) == ("PASS", 20.5, "at_least")


def test_what_a_folder_lacks_is_skipped_and_says_how_to_measure_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_new(tmp_path, "result.json", RESULT)
    assert report_kpis(["memory", "prefill_r2"], 1, 1, False, None, None, tmp_path) == 0
    memory, prefill = capsys.readouterr().out.splitlines()
    assert memory.startswith("SKIPPED")
    assert "run tokenhud kpi memory" in memory
    assert prefill.startswith("PASS")
    with pytest.raises(EngineError, match="nothing is measured"):
        report_kpis([], 1, 1, False, tmp_path, None, tmp_path)


def test_limits_are_selected_by_metric() -> None:
    assert select([SPEED], ["other"]) == ()
    assert select([SPEED], []) == select([SPEED], ["decode_tps"]) == (SPEED,)


def test_a_limit_on_what_nothing_measures_is_a_mistake(tmp_path: Path) -> None:
    limits = written(tmp_path, ENTRY.replace("decode_tps", "decode_tpss"))
    with pytest.raises(EngineError, match="Did you mean decode_tps"):
        report_kpis([], 1, 1, False, None, limits)
