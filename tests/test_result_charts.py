from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.events import Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.asking import benchmark
from tokenhud.sessions.bench.chart import Chart
from tokenhud.sessions.bench.charts import charts
from tokenhud.sessions.bench.result import RAW, Result, read_result
from tokenhud.sessions.bench.running import run_plan
from tokenhud.sessions.encoding import to_line
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Record, Trial

from .fakes import Beat, ScriptedEngine, chat_with, words

DRAFTING = [
    Beat(("a",), ms=20),
    Beat(("b", "c", "d"), drafted=2, accepted=2, ms=30),
    Beat(("e", "f"), drafted=2, accepted=1, ms=30),
    Beat(("g",), ms=20),
]


def measured(folder: Path, *asked: object, **more: object) -> Result:
    plan, cases = benchmark(*asked, **more)  # type: ignore[arg-type]
    running = run_plan(ScriptedEngine(DRAFTING), plan, cases, folder, idle=0)
    while True:
        try:
            next(running)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def titled(result: Result) -> dict[str, Chart]:
    return {each.title: each for each in charts(result)}


def test_the_charts_of_a_matrix(tmp_path: Path):
    found = titled(measured(tmp_path, ["S1", "S2", "S3"], (), ["plain"], Spec(), Sampling()))
    assert list(found) == [
        "Decode by prompt",
        "Prefill by prompt",
        "Time to first token by length of prompt",
        "Decode step by step in the longest answer",
        "Acceptance by place in the draft",
    ]
    decode = found["Decode by prompt"].series[0]
    assert list(decode.xs) == ["S1", "S2", "S3"]
    assert decode.ys[0] == pytest.approx(6 / 0.08)


def test_step_by_step_is_what_a_step_emitted_over_its_time(tmp_path: Path):
    result = measured(tmp_path, ["code"], (), ["suffix"], Spec(), Sampling())
    steps = titled(result)["Decode step by step in the longest answer"].series[0]
    assert list(steps.xs) == [4, 6, 7]
    assert list(steps.ys) == pytest.approx([100, 2 / 0.03, 50])


def test_acceptance_by_place(tmp_path: Path):
    result = measured(tmp_path, ["code"], (), ["suffix"], Spec(), Sampling())
    (kept,) = titled(result)["Acceptance by place in the draft"].series
    assert list(kept.xs) == [1, 2]
    assert list(kept.ys) == [1.0, 0.5]


def test_a_sweep_of_gamma_has_its_curve_and_the_predicted_one(tmp_path: Path):
    sweep = {"setting": ("gamma", "2,4,8")}
    result = measured(tmp_path, ["code"], (), [], Spec(drafter="suffix"), Sampling(), **sweep)
    found = titled(result)
    assert list(found["Decode by gamma"].series[0].xs) == [2, 4, 8]
    measured_, predicted = found["Speed-up over plain decoding by γ"].series
    assert list(measured_.ys) == pytest.approx([1, 1, 1])
    assert predicted.computed
    assert all(y and y > 0 for y in predicted.ys)


def test_curves_of_several_drafters_stand_beside_each_other(tmp_path: Path):
    sweep = {"setting": ("gamma", "2,4")}
    how = ["suffix", "ngram"]
    result = measured(tmp_path, ["code"], (), how, Spec(), Sampling(), **sweep)
    assert [each.name for each in titled(result)["Decode by gamma"].series] == how


def test_a_sweep_of_words_has_names_along_its_axis(tmp_path: Path):
    sweep = {"setting": ("drafter", "plain,suffix")}
    result = measured(tmp_path, ["code"], (), [], Spec(), Sampling(), **sweep)
    assert titled(result)["Decode by drafter"].categories == ("plain", "suffix")


def test_a_chat_is_drawn_by_its_turns(tmp_path: Path):
    chat = chat_with(ScriptedEngine(words("Some words.")), tmp_path)
    chat.log.save_as(tmp_path / "chat.jsonl")
    for text in ("One?", "Two?", "Three?"):
        list(chat.ask(text))
    chat.close()
    found = titled(read_result(tmp_path / "chat.jsonl"))
    assert list(found["Decode by prompt"].series[0].xs) == ["turn 1", "turn 2", "turn 3"]
    assert found["Decode by prompt"].series[0].ys[0] is None  # cold


def written(path: Path, records: Sequence[Record]) -> Result:
    path.write_text("".join(f"{to_line(each, at)}\n" for at, each in enumerate(records)), "utf-8")
    return read_result(path)


def test_a_pass_that_was_run_again_is_drawn_once(tmp_path: Path):
    measured(tmp_path, ["code"], (), ["suffix"], Spec(), Sampling())
    kept = [each for each in read(tmp_path / RAW) if not isinstance(each, Problem)]
    passes = [at for at, each in enumerate(kept) if isinstance(each, Trial) and not each.warmup]
    again = [*kept, *kept[passes[0] : passes[-1]]]
    steps = titled(written(tmp_path / "again.jsonl", again))[
        "Decode step by step in the longest answer"
    ]
    assert [each.name for each in steps.series] == ["suffix"]


@pytest.mark.parametrize("change", [{"cold": True}, {"reason": "cancelled"}])
def test_a_prediction_is_of_measured_answers_alone(tmp_path: Path, change: dict[str, object]):
    """All others that were slow in checking would make it one of them."""
    sweep = {"setting": ("gamma", "2,4")}
    measured(tmp_path, ["code"], (), [], Spec(drafter="suffix"), Sampling(), **sweep)
    ordinary = titled(read_result(tmp_path))
    kept = [each for each in read(tmp_path / RAW) if not isinstance(each, Problem)]
    ends = [at for at, each in enumerate(kept) if isinstance(each, Stop)]
    begins = [at for at, each in enumerate(kept) if isinstance(each, Trial)]
    slow = [
        replace(each, pass_ns=9 * each.pass_ns)
        if isinstance(each, Step) and each.drafted and each.pass_ns
        else replace(each, **change)  # type: ignore[arg-type]
        if isinstance(each, Start if "cold" in change else Stop)
        else each
        for each in kept[begins[-1] : ends[-1] + 1]
    ]
    more = written(tmp_path / "more.jsonl", [*kept, *slow * 20])
    title = "Speed-up over plain decoding by γ"
    assert titled(more)[title].series == ordinary[title].series


def test_what_has_nothing_to_show_has_no_chart(tmp_path: Path):
    chat = chat_with(ScriptedEngine(), tmp_path)
    list(chat.ask("One?"))
    chat.close()
    (path,) = tmp_path.glob("*.jsonl")
    assert charts(read_result(path)) == []
