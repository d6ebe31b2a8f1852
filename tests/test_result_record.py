from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests import strategies
from tests.fakes import MS, Beat, ScriptedEngine, chat_with, words
from tests.test_comparison import CASES, HEADER, JUDGED, LOADED, PLAN, TURNS, measured, records
from tests.test_comparison import steady as ms
from tokenhud.engines.events import Chunk, EngineError, Sample, Served, Start, Stop
from tokenhud.engines.options import Spec
from tokenhud.sessions.bench.comparison import compare
from tokenhud.sessions.bench.derived import Cover, cover, distinct, positions, right
from tokenhud.sessions.bench.experiment import Experiment
from tokenhud.sessions.bench.judging import Key
from tokenhud.sessions.bench.measurements import of_result
from tokenhud.sessions.bench.methods import methods, swept
from tokenhud.sessions.bench.plan import Case
from tokenhud.sessions.bench.record import result_record
from tokenhud.sessions.bench.result import Result, read_result, result
from tokenhud.sessions.bench.samples import COLUMNS, sample_rows
from tokenhud.sessions.bench.samples_csv import samples_csv
from tokenhud.sessions.bench.standing import best_of_sweep
from tokenhud.sessions.records import Trial
from tokenhud.sessions.trials import CancelledError

DOCS = Path(__file__).parents[1] / "docs"
SCHEMA = json.loads((DOCS / "result.schema.json").read_text("utf-8"))
VALID = Draft202012Validator(SCHEMA)
FOUR = replace(PLAN, runs=4, warmup=1)


def told(found: Result, comparison=None):
    """result.json as a program reads it, which has the form it says it has."""
    record = json.loads(json.dumps(result_record(found, comparison), allow_nan=False))
    VALID.validate(record)
    return record


def by_drafter(asked):
    return 20 if asked.drafter == "suffix" else 25


def scripted(*scripts, plan=PLAN, cases=CASES[:1]) -> Result:
    kept = [HEADER, plan, *cases, LOADED]
    list(Experiment(ScriptedEngine(*scripts), plan, cases, kept.append).run())
    return result(kept)


def row(record, case, method):
    (found,) = [e for e in record["results"] if (e["case"], e["method"]) == (case, method)]
    return found


# result.json


def test_two_methods_in_four_cases():
    found = measured(by_drafter, TURNS)
    record = told(found)
    assert len(record["results"]) == 2 * (4 + 1)
    plain, suffix = (row(record, "two", each) for each in ("plain", "suffix"))
    assert plain["decode_tps"]["samples"] == found.values("decode_tps", "two", "plain")
    assert (plain["n"], plain["decode_tps"]["median"], plain["decode_tps"]["cv"]) == (5, 40, 0)
    assert plain["acceptance"]["n"] == 0
    assert plain["acceptance"]["median"] is None
    assert (plain["speedup"], plain["speedup_ratio"]) == (None, None)
    assert suffix["speedup"] == pytest.approx(1.25)
    assert suffix["speedup_ratio"]["n_candidate"] == 5
    assert 1 < suffix["e2e_speedup"] < suffix["speedup"]
    assert row(record, None, "suffix")["speedup"] == pytest.approx(1.25)
    assert [each["same_words_as_first"] for each in record["methods"]] == [
        {"part": 4, "whole": 4}
    ] * 2
    assert record["env"]["machine_info"]["ram_total"] == 8 << 30


def test_warm_ups_only():
    kept = takewhile(lambda each: not isinstance(each, Trial) or each.warmup, records(ms(25)))
    record = told(result(kept))
    assert [each["warmup"] for each in record["samples"]] == [True] * 4
    assert not any(each["measured"] for each in record["samples"])
    assert [each["n"] for each in record["results"]] == [0]


def test_failures_only():
    record = told(scripted([EngineError("No.", "Do.")]))
    assert record["failures"] == [{"method": "plain", "case": "one", "why": "No. Do."}]
    assert record["samples"][0]["finish_reason"] == "error"
    assert record["samples"][0]["ttft_ms"] is None


def test_cancelled_half_way():
    engine, kept = ScriptedEngine(words("a b c")), [HEADER, PLAN, *CASES]

    def broken_off():
        for each in Experiment(engine, PLAN, CASES, kept.append).run():
            if isinstance(each, Start) and len(engine.requests) == 11:
                engine.cancel()

    with pytest.raises(CancelledError):
        broken_off()
    record = told(result(kept))
    assert record["samples"][-1]["finish_reason"] == "cancelled"
    assert row(record, "one", "plain")["n"] == 2
    assert row(record, None, "plain")["n"] == 1


def test_a_chat(tmp_path):
    chat = chat_with(ScriptedEngine(words("a b")), tmp_path)
    for _ in range(4):
        list(chat.ask("Hi"))
    path = chat.log.path
    chat.close()
    record = told(read_result(path))
    assert record["plan"] is None
    assert [each["case"] for each in record["results"]] == ["turn 2", "turn 3", "turn 4", None]
    assert record["samples"][0]["cache_state"] == "cold"


def test_a_sweep_and_its_verdict():
    plan = replace(PLAN, methods=swept("gamma", "2,4"), swept="gamma", purpose="sweep")
    found = measured(ms(25), plan)
    judged = compare(found, found, *JUDGED, "gamma=4", "gamma=2")
    record = told(found, judged)
    assert record["plan"]["methods"][0]["changes"]["gamma"] == 2
    assert (record["comparison"]["status"], record["comparison"]["exit_status"]) == ("pass", 0)
    assert len(record["comparison"]["rows"]) == 5


def test_verdicts_of_every_kind():
    there = measured(ms(25))
    other = replace(LOADED, model=replace(LOADED.model, sha256="ef" * 32))
    for here, status in (
        (measured(ms(32)), "regression"),
        (measured(ms(25), replace(PLAN, runs=2)), "inconclusive"),
        (result(records(ms(25), loaded=other)), "error"),
    ):
        assert told(here, compare(here, there, *JUDGED))["comparison"]["status"] == status


@settings(max_examples=50)
@given(st.lists(strategies.records, max_size=25))
def test_any_records_have_a_record_and_a_table_of_samples(items):
    found = result(items)
    record = told(found)
    assert len(record["samples"]) == len(found.answers)
    assert len(list(csv.reader(io.StringIO(samples_csv(found))))) == len(found.answers) + 1


def test_limits_find_their_figures():
    figures = dict(of_result(told(measured(by_drafter, TURNS))))
    assert figures[Key("speedup", "three", "suffix")].value == pytest.approx(1.25)
    assert figures[Key("decode_tps", "", "plain")].value == pytest.approx(40)
    assert figures[Key("decode_cv")].value == 0
    assert not any(key.metric == "speedup" and key.method == "plain" for key in figures)


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("result", SCHEMA["properties"]),
        ("row", SCHEMA["$defs"]["result"]["properties"]),
        ("method", SCHEMA["$defs"]["method"]["properties"]),
        ("sample", SCHEMA["$defs"]["sample"]["properties"]),
    ],
)
def test_the_document_names_every_field(part, fields):
    text = (DOCS / "results.md").read_text("utf-8")
    (table,) = re.findall(f"<!-- {part} -->(.*)<!-- end of {part} -->", text, re.DOTALL)
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == set(fields)


# raw samples


def test_every_answer_is_a_sample_and_a_pass_run_again_counts_once():
    kept = records(ms(25), replace(PLAN, runs=1))
    again = kept[-1 - next(n for n, each in enumerate(reversed(kept)) if isinstance(each, Trial)) :]
    rows = sample_rows(result([*kept, *again]))
    assert len(rows) == 4 + 4 + 1
    assert [each["measured"] for each in rows] == [False] * 4 + [True] * 3 + [False, True]
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[-1]["run"], rows[-1]["decode_tokens"], rows[-1]["completion_tokens"]) == (1, 6, 7)
    assert rows[-1]["ttft_ms"] + rows[-1]["decode_ms"] == rows[-1]["e2e_ms"]


def test_what_a_server_does_not_count_is_null():
    spec = Spec(url="http://localhost:1")
    start = Start(0, (), 0, False, spec, PLAN.sampling)
    events = [start, Chunk(8 * MS, "Hi"), Served(9 * MS, prompt_tokens=5), Stop(9 * MS, "stop")]
    served = result([replace(LOADED, spec=spec), Trial("bench", None, True, "a", "m", 1), *events])
    record = told(served)
    (sample,) = record["samples"]
    assert not any("memory" in each for each in record["remarks"])
    assert (sample["prompt_tokens"], sample["completion_tokens"]) == (5, None)
    assert (sample["num_draft_tokens"], sample["answer_digest"]) == (None, None)


def test_the_columns_for_spreadsheets():
    stop = {"weights": 10, "kv_cache": 2}
    kept = [
        replace(each, memory=stop) if isinstance(each, Stop) else each
        for each in records(ms(25), cases=(Case("=1+1", "Hi"),))
    ]
    table = list(csv.DictReader(io.StringIO(samples_csv(result(kept)))))
    names = [each for each in COLUMNS if each != "memory"]
    assert list(table[0]) == [*names, "memory_weights", "memory_kv_cache"]
    assert {each["case"] for each in table} == {"'=1+1"}
    assert [float(each["decode_tps"]) for each in table] == [40] * 6
    assert (table[0]["memory_kv_cache"], table[0]["peak_rss"]) == ("2", "")


# what follows


def test_the_time_to_read_a_prompt_grows_with_it():
    cases = tuple(Case(f"{n}", "word " * n) for n in (5, 20, 80))
    found = result(
        records(ms(25), cases=cases, first_ms=lambda asked: 2 * len(asked.message.split()))
    )
    derived = told(found)["derived"]
    assert derived["prefill_ms_per_token"] == pytest.approx(2)
    assert derived["prefill_intercept_ms"] == pytest.approx(100 - 2 * 2)  # the template's 2 tokens
    assert (derived["prefill_r2"], derived["prefill_n"]) == (pytest.approx(1), 3)


def test_decoding_varies_over_the_cases():
    found = measured(lambda asked: 20 if asked.message == CASES[0].text else 25)
    # rates 50, 40, 40, 40: std 5, mean 42.5
    assert told(found)["derived"]["decode_cv"] == pytest.approx(5 / 42.5)
    assert told(found)["derived"]["decode_cv_n"] == 4


def test_all_answers_of_a_method_one_after_another():
    (method,) = told(measured(ms(25)))["methods"]
    assert (method["answers"], method["completion_tokens"]) == (20, 20 * 7)
    assert method["wall_ms"] == pytest.approx(20 * (100 + 20 + 6 * 25))
    assert method["tokens_per_second"] == pytest.approx(7000 / 270)
    assert method["answers_per_second"] == pytest.approx(1000 / 270)


def test_acceptance_by_place():
    beats = [Beat(("a", "b"), 3, 1), Beat(("c",), 1, 0), Beat(("d", "e", "f"), 2, 2)]
    places = positions(scripted(beats).measured)
    assert [(each.drafted, each.accepted) for each in places] == [(15, 10), (10, 5), (5, 0)]


def test_right_answers_and_different_ones():
    texts = ["Paris it is.", "In paris.", "Rome.", "Paris it is."]
    cases = (Case("one", "Where?", expected=" PARIS "),)
    found = scripted(words("Cold."), *map(words, texts), plan=FOUR, cases=cases)
    assert right(found, "plain") == (3, 4)
    assert distinct(found, "one", "plain") == 3
    assert distinct(found, "two", "plain") is None
    assert right(scripted(), "plain") is None


@pytest.mark.parametrize(
    ("lengths", "most", "share", "tokens"),
    [
        ([3, 5, 9, 20], 50, 0.75, 9),
        ([3, 5, 9, 20], 10, 0.75, 9),
        ([3, 5, 20, 20], 10, 0.75, None),
        ([2] * 8 + [7, 30], 50, 0.9, 7),
    ],
)
def test_so_many_tokens_cover_so_many_answers(lengths, most, share, tokens):
    cases = tuple(Case(f"{n}", "Hi", changes={"length": most}) for n in range(len(lengths)))
    plan = replace(PLAN, runs=1, warmup=1)
    found = scripted(*[[Beat(("a",))] * n for n in lengths] * 2, plan=plan, cases=cases)
    assert cover(found, "plain", share) == Cover(tokens, share, len(lengths))


def test_of_few_answers_no_share_is_told():
    assert cover(measured(ms(25)), "plain", 0.9) is None


def test_answers_that_had_to_go_on_cover_nothing():
    endless = [Case(f"{n}", "Hi", changes={"ignore_eos": "on"}) for n in range(4)]
    assert cover(scripted(cases=endless), "plain", 0.5) is None


@pytest.mark.parametrize(("speeds", "sure"), [({2: 25, 4: 20}, True), ({2: 25, 4: 25}, False)])
def test_a_value_is_best_only_beyond_noise(speeds, sure):
    plan = replace(PLAN, methods=methods(["gamma=2", "gamma=4"]), swept="gamma", warmup=0)

    class Engine(ScriptedEngine):
        def stream(self, request):
            self._scripts = [[Beat(("a",), ms=speeds[request.spec.gamma])] * 5]
            return super().stream(request)

    kept = [HEADER, plan, *CASES, LOADED]
    list(Experiment(Engine(), plan, CASES, kept.append).run())
    best = best_of_sweep(result(kept))
    assert best is not None
    assert best.sure is sure
    assert not sure or (best.method, best.ratio.value) == ("gamma=4", pytest.approx(1.25))


def test_a_value_that_fails_the_slow_case_is_not_best_by_that():
    plan = replace(PLAN, methods=methods(["gamma=2", "gamma=4", "gamma=8"]), swept="gamma")

    class Engine(ScriptedEngine):
        def stream(self, request):
            slow, gamma = request.messages[-1].content == CASES[1].text, request.spec.gamma
            fails = [EngineError("No room.")] if slow and gamma == 8 else None
            took = 250 if slow else {2: 25, 4: 20, 8: 22}[gamma]
            self._scripts = [fails or [Beat(("a",), ms=took)] * 5]
            return super().stream(request)

    kept = [HEADER, plan, *CASES, LOADED]
    list(Experiment(Engine(), plan, CASES, kept.append).run())
    found = result(kept)
    best = best_of_sweep(found)
    assert best is not None
    assert (best.method, best.second, best.sure) == ("gamma=4", "gamma=8", True)
    assert best.ratio.value == pytest.approx(1.1)
    record = told(found)
    assert row(record, None, "gamma=2")["decode_tps"]["median"] == pytest.approx(40)
    assert {row(record, None, each)["n"] for each in found.methods} == {5}


def test_of_two_plans_in_one_log_the_last_is_told():
    first = records(ms(50), replace(PLAN, methods=methods(["plain", "suffix"])))
    second = records(ms(25), PLAN, cases=(replace(CASES[0], text="Other words."),))
    both, alone = result([*first, *second[1:]]), result(second)
    assert both.methods == ("plain",)
    for name in ("plan", "cases", "answers", "loads", "failures", "measured"):
        assert getattr(both, name) == getattr(alone, name)


def test_peaks_are_measured_and_the_rest_is_an_estimate():
    kept = []
    for each in records(ms(25), replace(PLAN, runs=1, warmup=1)):
        if isinstance(each, Stop):
            kept.append(Sample(each.t_ns, engine_rss=500 + len(kept), vram_engine=None))
            each = replace(each, memory={"weights": 70, "kv_cache": 9, "drafters": 1})
        kept.append(each)
    (method,) = told(result(kept))["methods"]
    assert method["peak_rss"] == max(e.engine_rss for e in kept if isinstance(e, Sample))
    assert (method["peak_vram"], method["memory_estimate"]) == (None, 79)
    assert method["memory"] == {"weights": 70, "kv_cache": 9, "drafters": 1}
