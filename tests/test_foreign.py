from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median, pstdev, stdev

import pytest

from tests.fakes import MS, Beat, ScriptedEngine, chat_with, words
from tests.test_comparison import CASES, HEADER, LOADED, PLAN, SAID, TURNS, measured, records
from tests.test_comparison import steady as ms
from tokenhud.engines.events import EngineError
from tokenhud.sessions.bench.experiment import TRIES, Experiment
from tokenhud.sessions.bench.foreign import FOREIGN, write_foreign
from tokenhud.sessions.bench.inference_doctor import inference_doctor
from tokenhud.sessions.bench.llama_bench import llama_bench
from tokenhud.sessions.bench.plan import Case, Method
from tokenhud.sessions.bench.recorder import Recorder
from tokenhud.sessions.bench.result import RAW, Result, read_result, result
from tokenhud.sessions.bench.vllm_bench import vllm_bench
from tokenhud.sessions.encoding import to_line

FIELDS = [
    "build_commit",
    "build_number",
    "cpu_info",
    "gpu_info",
    "backends",
    "model_filename",
    "model_type",
    "model_size",
    "model_n_params",
    "n_batch",
    "n_ubatch",
    "n_threads",
    "cpu_mask",
    "cpu_strict",
    "poll",
    "type_k",
    "type_v",
    "n_gpu_layers",
    "n_cpu_moe",
    "split_mode",
    "main_gpu",
    "no_kv_offload",
    "flash_attn",
    "devices",
    "tensor_split",
    "tensor_buft_overrides",
    "load_mode",
    "lazy_mode",
    "embeddings",
    "no_op_offload",
    "no_host",
    "repack",
    "fit_target",
    "fit_min_ctx",
    "n_prompt",
    "n_gen",
    "n_depth",
    "test_time",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "samples_ns",
    "samples_ts",
]
EXACT = (Case("S1", "a b c d e f", exact=8, changes={"length": 4, "ignore_eos": "on"}), CASES[0])
WHEN = replace(HEADER, created="2026-01-02T03:04:05+01:00")
DOCS = Path(__file__).parents[1] / "docs" / "results.md"


def wobbling(asked):
    return 20 + asked.number


def on_disk(kept, folder: Path) -> Result:
    lines = "".join(f"{to_line(each, seq)}\n" for seq, each in enumerate(kept))
    (folder / "runs.jsonl").write_text(lines, "utf-8")
    return read_result(folder)


def scripted(*scripts, plan=PLAN, cases=CASES):
    kept = [HEADER, plan, *cases, LOADED]
    list(Experiment(ScriptedEngine(*scripts), plan, cases, kept.append).run())
    return kept


# llama-bench


def exported(plan=PLAN):
    return llama_bench(result(records(wobbling, plan, EXACT, header=WHEN)))


def test_three_tests_a_method_of_the_exact_case_alone():
    found = exported(TURNS)
    assert [(each["n_prompt"], each["n_gen"], each["n_depth"]) for each in found] == [
        (8, 0, 0),
        (0, 3, 8),
        (8, 4, 0),
    ] * 2
    assert [each["build_commit"] for each in found] == ["1.0 plain"] * 3 + ["1.0 suffix"] * 3
    for each in found:
        assert list(each) == FIELDS
        json.dumps(each, allow_nan=False)


def test_the_times_are_those_of_the_answers():
    read, wrote, both = exported()
    steps = [20 + number for number in range(1, 6)]  # ms a token; the warm-up has number 0
    assert read["samples_ns"] == [120 * MS] * 5
    assert read["samples_ts"] == [pytest.approx(8 / 0.12)] * 5
    assert wrote["samples_ns"] == [3 * step * MS for step in steps]
    assert wrote["samples_ts"] == [pytest.approx(1000 / step) for step in steps]
    assert wrote["avg_ns"] == 3 * 23 * MS
    assert wrote["stddev_ns"] == round(stdev(wrote["samples_ns"]))
    assert (wrote["avg_ts"], wrote["stddev_ts"]) == (
        pytest.approx(fmean(wrote["samples_ts"])),
        pytest.approx(stdev(wrote["samples_ts"])),
    )
    assert both["samples_ns"] == [(120 + 3 * step) * MS for step in steps]
    assert both["samples_ts"][0] == pytest.approx(12 / (0.120 + 0.063))


def test_machine_and_model_under_that_tool_s_names():
    first = exported()[0]
    told = {
        "cpu_info": "A processor",
        "gpu_info": "",
        "backends": "CPU",
        "model_filename": "script.gguf",
        "model_type": "llama 0.001M F32",
        "model_size": 1,
        "model_n_params": 1000,
        "n_threads": 2,
        "type_k": "f32",
        "type_v": "f32",
        "flash_attn": False,
        "test_time": "2026-01-02T02:04:05Z",
    }
    assert {name: first[name] for name in told} == told


def test_one_run_has_no_deviation_and_failures_no_test():
    assert [each["stddev_ns"] for each in exported(replace(PLAN, runs=1))] == [0] * 3
    assert llama_bench(result(scripted([EngineError("No.")], cases=EXACT))) == []
    assert llama_bench(result([])) == []
    assert llama_bench(measured(ms(25))) == []


def test_the_document_names_the_fields_that_say_nothing():
    text = DOCS.read_text("utf-8").split("They say nothing:")[1].split("**vLLM")[0]
    silent = re.findall(r"`(\w+)`", text)
    blank = {name for name in FIELDS if not any(each[name] for each in exported(TURNS))}
    assert blank == {*silent, "gpu_info", "n_gpu_layers", "flash_attn"}


# vLLM bench


def test_each_answer_is_a_request(tmp_path):
    found = on_disk(records(wobbling), tmp_path)
    told = vllm_bench(found, "plain")
    tokens = [7] * 20
    seconds = [(120 + 6 * (20 + n)) / 1e3 for n in range(1, 6) for _ in CASES]
    assert (told["completed"], told["failed"], told["num_prompts"]) == (20, 0, 20)
    assert told["output_lens"] == tokens
    assert told["latencies"] == pytest.approx(seconds)
    assert told["duration"] == pytest.approx(sum(seconds))
    assert told["output_throughput"] == pytest.approx(140 / sum(seconds))
    assert told["total_token_throughput"] == pytest.approx(
        (140 + sum(told["input_lens"])) / sum(seconds)
    )
    assert told["request_throughput"] == pytest.approx(20 / sum(seconds))
    assert told["ttfts"] == pytest.approx([0.12] * 20)
    assert told["itls"][0] == pytest.approx([0.021] * 6)
    assert told["generated_texts"] == [SAID] * 20
    assert (told["model_id"], told["label"]) == ("Script", "plain")


def test_statistics_as_that_tool_takes_them(tmp_path):
    found = on_disk(records(wobbling), tmp_path)
    told = vllm_bench(found, "plain")
    for name, values in (
        ("ttft", [1e3 * each for each in told["ttfts"]]),
        ("itl", [1e3 * each for gaps in told["itls"] for each in gaps]),
        ("e2el", [1e3 * each for each in told["latencies"]]),
        ("tpot", [20 + n for n in range(1, 6) for _ in CASES]),
    ):
        assert told[f"mean_{name}_ms"] == pytest.approx(fmean(values))
        assert told[f"median_{name}_ms"] == pytest.approx(median(values))
        assert told[f"std_{name}_ms"] == pytest.approx(pstdev(values), abs=1e-9)
        assert told[f"p99_{name}_ms"] <= max(values) + 1e-9
    assert "spec_decode_acceptance_rate" not in told
    json.dumps(told, allow_nan=False)


def test_speculation_in_percent_and_by_place():
    beats = [Beat(("a", "b"), 3, 1), Beat(("c",), 2, 0)]
    told = vllm_bench(result(scripted(beats, cases=CASES[:1])), "plain")
    assert told["spec_decode_acceptance_rate"] == pytest.approx(20)
    assert told["spec_decode_acceptance_length"] == pytest.approx(1.5)
    assert (told["spec_decode_num_drafts"], told["spec_decode_draft_tokens"]) == (10, 25)
    assert told["spec_decode_per_position_acceptance_rates"] == [0.5, 0, 0]


def test_failed_answers_are_counted_and_nothing_is_made_up_of_them():
    told = vllm_bench(result(scripted([EngineError("No.")], plan=replace(PLAN, warmup=0))), "plain")
    assert (told["completed"], told["failed"]) == (0, 4 * TRIES)
    assert (told["output_throughput"], told["mean_ttft_ms"], told["itls"]) == (None, None, [])


def test_what_has_no_time_or_count_is_no_request_of_nothing():
    """A server that counts nothing, and an answer that said nothing."""
    found = result(scripted(words("a b"), plan=replace(PLAN, runs=2)))
    untold = {"one": {"tokens": 0}, "two": {"ttft_ns": None}, "three": {"e2e_ns": None}}
    answers = [replace(each, **untold.get(each.case, {})) for each in found.answers]
    told = vllm_bench(replace(found, answers=tuple(answers)), "plain")
    assert (told["completed"], told["failed"], told["num_prompts"]) == (2, 6, 8)
    for name in ("output_lens", "ttfts", "latencies"):
        assert len(told[name]) == 2
        assert all(told[name])
    assert len(told["itls"]) == len(told["errors"]) == len(told["input_lens"]) == 2
    assert told["median_ttft_ms"] == pytest.approx(1e3 * median(told["ttfts"]))


def test_a_chat_is_requests_too(tmp_path):
    chat = chat_with(ScriptedEngine(words("a b c")), tmp_path)
    for _ in range(3):
        list(chat.ask("Hi"))
    path = chat.log.path
    chat.close()
    told = vllm_bench(read_result(path), "recorded")
    assert (told["completed"], told["generated_texts"]) == (2, ["a b c"] * 2)


# inference-doctor


def test_a_repetition_a_pass(tmp_path):
    found = on_disk(records(wobbling, TURNS), tmp_path)
    told = inference_doctor(found, "suffix")
    assert [name for name, _ in told] == [f"repetition-{n}.json" for n in range(1, 6)]
    _, first = told[0]
    assert first["schema_version"] == "1"
    assert first["environment"] == {
        "gpu": "none, A processor",
        "model": "Script",
        "vllm_version": None,
        "image": None,
    }
    metrics = first["metrics"]
    seconds = 4 * (120 + 6 * 21) / 1e3
    assert metrics["output_token_throughput"] == pytest.approx(28 / seconds)
    assert metrics["request_throughput"] == pytest.approx(4 / seconds)
    assert metrics["tpot_ms"] == {
        "mean": pytest.approx(21),
        "median": pytest.approx(21),
        "p95": None,
        "p99": None,
    }
    assert metrics["itl_ms"]["p95"] == pytest.approx(21)  # of 24 gaps
    assert metrics["requests"] == {"successful": 4, "failed": 0}


def test_two_methods_have_equal_parameters_and_other_prompts_others():
    found = measured(wobbling, TURNS)
    (_, plain), (_, suffix) = (inference_doctor(found, each)[0] for each in ("plain", "suffix"))
    assert plain["benchmark_parameters"] == suffix["benchmark_parameters"]
    other = result(records(wobbling, cases=(Case("one", "Other words than these."), *CASES[1:])))
    assert (
        inference_doctor(other, "plain")[0][1]["benchmark_parameters"]
        != (plain["benchmark_parameters"])
    )


def test_only_whole_passes_are_repetitions():
    kept = records(wobbling)
    assert len(inference_doctor(result(kept[:-3]), "plain")) == 4
    assert inference_doctor(result([]), "plain") == []


def test_failures_of_a_pass_are_counted_in_it():
    each_pass = [*[words("a b")] * 3, [EngineError("No.")]]
    scripts = [*[words("a b")] * 4, *each_pass * TRIES, words("a b")]
    told = inference_doctor(result(scripted(*scripts)), "plain")
    assert [each["metrics"]["requests"]["failed"] for _, each in told] == [1, 1, 0, 0, 0]
    assert [each["metrics"]["requests"]["successful"] for _, each in told] == [3] * 5


def test_files_of_other_tools_are_named_after_their_methods(tmp_path):
    ways = (Method("plain"), Method("gamma=2 suffix", {"drafter": "suffix"}))
    plan, cases = replace(PLAN, methods=ways, runs=3), (Case("S1", "words", exact=16),)
    recorder = Recorder(tmp_path / RAW, new=True)
    for record in records(ms(20), plan, cases):
        recorder.append(record)
    recorder.close()
    found = read_result(tmp_path)
    written = {
        form: [str(path.relative_to(tmp_path)) for path in write_foreign(found, form, tmp_path)]
        for form in FOREIGN
    }
    assert written == {
        "llama-bench": ["llama-bench.json"],
        "vllm": ["plain.json", "gamma=2-suffix.json"],
        "inference-doctor": [
            f"{method}/repetition-{n}.json"
            for method in ("plain", "gamma=2-suffix")
            for n in (1, 2, 3)
        ],
    }
    assert len(json.loads((tmp_path / "llama-bench.json").read_text("utf-8"))) == 6
