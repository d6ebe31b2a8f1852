from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError, Message
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.methods import WORDS, method, methods, swept
from tokenhud.sessions.bench.plan import Case, Plan, messages, options
from tokenhud.sessions.bench.scenarios import SCENARIOS, cases, read_cases
from tokenhud.sessions.prompts import PROMPTS

PLAN = Plan("bench", (), Spec(), Sampling())


def lines(path: Path, *entries: object) -> Path:
    path.write_text("\n".join(json.dumps(each) for each in entries), "utf-8")
    return path


def fault(call: object, *arguments: object) -> str:
    with pytest.raises(EngineError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def test_scenarios_ask_for_the_counts_of_the_source_document():
    counts = [(each.prompt, each.length) for each in SCENARIOS.values()]
    assert counts == [(16, 32), (64, 64), (256, 128), (512, 256), (1024, 128), (64, 512)]


def test_a_scenario_fixes_both_counts_and_ignores_end_tokens():
    (case,) = cases(["s5"])
    _, sampling = options(PLAN, case, method("plain"))
    assert (case.exact, sampling.length, sampling.ignore_eos) == (1024, 128, "on")


def test_groups_names_and_exact_pairs():
    assert [each.name for each in cases(["prompts"])] == list(PROMPTS)
    assert [each.name for each in cases(["S1", "code"], [(8, 4)])] == ["p8 n4", "S1", "code"]


def test_a_name_that_is_none_or_twice_is_told():
    assert "There is no prompt S9." in fault(cases, ["S9"])
    assert "code is there twice" in fault(cases, ["code", "prompts"])


def test_a_file_of_prompts(tmp_path: Path):
    path = lines(
        tmp_path / "mine.jsonl",
        {"prompt": "One?"},
        {"question": "Two?", "answer": "2", "name": "second", "output_tokens": 9},
        {
            "messages": [
                {"role": "system", "content": "Brief."},
                {"role": "user", "content": "Three?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "Four?"},
            ]
        },
    )
    found = read_cases(path)
    assert [(each.name, each.skip) for each in found] == [
        ("mine 1", False),
        ("second", False),
        ("mine 3, message 1", True),
        ("mine 3", False),
    ]
    assert found[1].expected == "2"
    assert found[1].changes == {"length": 9}
    assert messages(found, 3) == (
        Message("system", "Brief."),
        Message("user", "Three?"),
        Message("assistant", "Yes."),
        Message("user", "Four?"),
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "Line 1 of"),
        ("[1]", "is no object"),
        ('{"prompt": 3}', "prompt is no text"),
        ('{"prompt": ""}', "has no prompt"),
        ('{"prompt": "x", "output_tokens": 0}', "output_tokens is no whole number"),
        ('{"messages": []}', "messages are not"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "messages are not"),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "system"}]}',
            "messages are not",
        ),
        ("[" * 100_000, "is not JSON"),
        ("", "has no prompt"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(tmp_path: Path, line: str, told: str):
    path = tmp_path / "bad.jsonl"
    path.write_text(line, "utf-8")
    assert told in fault(read_cases, path)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["prompt", "messages", "role", "content", "output_tokens", "name"]),
                x,
            )
        ),
    )
)
def test_no_json_at_all_is_more_than_a_sentence(tmp_path_factory, value):
    path = lines(tmp_path_factory.mktemp("json") / "any.jsonl", value)
    try:
        found = read_cases(path)
    except EngineError:
        return
    assert all(isinstance(each, Case) for each in found)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("suffix", {"drafter": "suffix"}),
        ("speculative gamma=6", {"drafter": "speculative", "gamma": 6, "gamma_policy": "fixed"}),
        ("ngram gamma=auto", {"drafter": "ngram", "gamma_policy": "auto"}),
        ("int8+ngram", {"quantize": "int8", "drafter": "ngram"}),
        ("llama threads=2", {"target": "llamacpp", "threads": 2}),
        ("autoregressive", {"drafter": "plain"}),
        ("temperature=0.7 context=auto", {"temperature": 0.7, "context": None}),
        ("N=4", {"ngram_n": 4}),
    ],
)
def test_methods_as_people_write_them(text: str, changes: dict[str, object]):
    assert method(text).changes == changes


@pytest.mark.parametrize("word", WORDS)
def test_every_word_changes_what_it_names(word: str):
    spec, sampling = options(PLAN, Case("x", "y"), method(word))
    assert isinstance(spec, Spec)
    assert isinstance(sampling, Sampling)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sufix", "Did you mean suffix?"),
        ("gamm=3", "Did you mean gamma?"),
        ("gamma=0", "gamma is a whole number from 1 to 64"),
        ("gamma=six", "gamma is a whole number"),
        ("", "There is no method"),
        ("\x1b[31m", "There is no method"),
    ],
)
def test_what_is_no_method_is_told_with_what_is_meant(text: str, told: str):
    said = fault(method, text)
    assert told in said
    assert "\x1b" not in said


def test_two_methods_of_one_name_are_one_too_many():
    assert "plain is there twice" in fault(methods, ["plain", "plain"])


def test_a_sweep_is_a_method_for_each_value():
    assert [each.name for each in swept("gamma", "2, 4,6")] == ["gamma=2", "gamma=4", "gamma=6"]
    assert "There is no value" in fault(swept, "gamma", " ")
    assert "There is no setting" in fault(swept, "color", "1")


def test_the_documented_scenarios_are_those_of_the_code():
    text = (Path(__file__).parents[1] / "docs" / "results.md").read_text("utf-8")
    for name, each in SCENARIOS.items():
        assert f"| `{name}` | {each.prompt:,} | {each.length} |" in text
