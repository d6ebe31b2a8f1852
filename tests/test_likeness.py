from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tokenhud.engines.events import Loaded, Sample, Start
from tokenhud.engines.options import Spec
from tokenhud.sessions.bench.comparison import beside, compare
from tokenhud.sessions.bench.likeness import Difference
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case, Plan
from tokenhud.sessions.bench.result import Result, read_result, result
from tokenhud.sessions.records import Header, Record, Trial

from .fakes import MODEL, ScriptedEngine, chat_with
from .test_comparison import CASES, HEADER, LOADED, MACHINE, PLAN, SAID, records, steady

Change = Callable[[list[Record]], list[Record]]
FEW = replace(PLAN, runs=3, methods=methods(["recorded"]))


def between(change: Change, measure: str = "decode_tps") -> tuple[list[Difference], int]:
    """What is told of two like runs after a `change` to one of them, and the exit status."""
    return judged(change(run()), run(), measure)


def judged(
    here: Sequence[Record], there: Sequence[Record], measure: str = "decode_tps"
) -> tuple[list[Difference], int]:
    found = compare(result(here), result(there), measure, 0.1)
    return list(found.differences), found.exit_status


def run(said: str = SAID, cases: Sequence[Case] = CASES[:2]) -> list[Record]:
    return records(steady(25), FEW, cases, said=said)


def plan(**changes: Any) -> Change:
    """As a person would choose it, and the engine do it."""
    spec = {name: value for name, value in changes.items() if hasattr(Spec, name)}
    sampling = {name: value for name, value in changes.items() if name not in spec}

    def change(found: list[Record]) -> list[Record]:
        return [
            replace(
                each,
                spec=replace(each.spec, **spec),
                sampling=replace(each.sampling, **sampling),
            )
            if isinstance(each, Plan | Start)
            else each
            for each in found
        ]

    return change


def model(**changes: object) -> Change:
    def change(found: list[Record]) -> list[Record]:
        other = replace(MODEL, **changes)  # type: ignore[arg-type]
        return [replace(each, model=other) if isinstance(each, Loaded) else each for each in found]

    return change


def header(environment: object = None, **changes: object) -> Change:
    def change(found: list[Record]) -> list[Record]:
        told = HEADER.environment if environment is None else environment
        other = replace(HEADER, environment=told, **changes)  # type: ignore[arg-type]
        return [other if isinstance(each, Header) else each for each in found]

    return change


def machine(**changes: object) -> Change:
    return header({**HEADER.environment, "machine_info": {**MACHINE, **changes}})


def events(kind: type, **changes: object) -> Change:
    def change(found: list[Record]) -> list[Record]:
        return [
            replace(each, **changes) if isinstance(each, kind) else each  # type: ignore[arg-type]
            for each in found
        ]

    return change


def watched(others: float) -> Change:
    """A reading of the machine in each answer."""

    def change(found: list[Record]) -> list[Record]:
        sample = Sample(0, cpu_percent=50 + others, engine_cpu_percent=50)
        return [
            each for one in found for each in ((one, sample) if isinstance(one, Start) else (one,))
        ]

    return change


GPU = {"name": "A GPU", "driver": "570", "cuda": 12080, "total_memory": 80 << 30}
MATTERS = [
    ("model file", model(sha256="ef" * 32), "Script efefefefefef", "Script abababababab"),
    ("architecture", model(architecture="qwen2"), "qwen2", "llama"),
    ("vocabulary", model(vocabulary=512), "512", "256"),
    ("template", model(template_sha256="ef" * 32), "efefefefefef", "cdcdcdcdcdcd"),
    ("url", plan(url="http://there:8000"), "http://there:8000", "–"),
    ("temperature", plan(temperature=0.7), "0.7", "0"),
    ("top_k", plan(top_k=40), "40", "0"),
    ("top_p", plan(top_p=0.9), "0.9", "1"),
    ("min_p", plan(min_p=0.1), "0.1", "0"),
    ("repetition_penalty", plan(repetition_penalty=1.1), "1.1", "1"),
    ("length", plan(length=64), "64", "512"),
    ("num_beams", plan(num_beams=4), "4", "1"),
    ("ignore_eos", plan(ignore_eos="on"), "on", "off"),
    ("processor", machine(cpu={"name": "Another", "usable": 2.0}), "Another", "A processor"),
    ("usable cores", machine(cpu={"name": "A processor", "usable": 1.5}), "1.5", "2"),
    ("machine", machine(machine="aarch64"), "aarch64", "x86_64"),
    ("system", machine(system="Darwin"), "Darwin", "Linux"),
    ("GPU", machine(gpu=GPU), "A GPU", "–"),
    ("memory", machine(ram_total=7 << 30), "7.0 GiB", "8.0 GiB"),
]
UNDER_TEST = [
    ("drafter", plan(drafter="suffix"), "suffix", "plain"),
    ("gamma", plan(gamma=6), "6", "4"),
    ("gamma_policy", plan(gamma_policy="fixed"), "fixed", "auto"),
    ("quantize", plan(quantize="int8"), "int8", "none"),
    ("dtype", plan(dtype="bfloat16"), "bfloat16", "float32"),
    ("threads", plan(threads=8), "8", "2"),
    ("device", plan(device="cuda"), "cuda", "cpu"),
    ("context", plan(context=4096), "4096", "2048"),
    ("target", plan(target="llamacpp"), "llamacpp", "native"),
    ("kv_type", plan(kv_type="q8_0"), "q8_0", "auto"),
    ("draft_layers", plan(draft_layers=6), "6", "auto"),
    ("seed", plan(seed=7), "7", "0"),
    ("kernel", machine(release="6.6"), "6.6", "6.1"),
    ("python", machine(python_version="3.12.1"), "3.12.1", "3.11.9"),
    ("tokenhud", header(tokenhud_version="2.0"), "2.0", "1.0"),
    ("torch", header(HEADER.environment | {"packages": {"torch": "2.10"}}), "2.10", "2.9"),
]


@pytest.mark.parametrize(("name", "change", "here", "there"), MATTERS, ids=[m[0] for m in MATTERS])
def test_what_makes_runs_unlike_is_named_and_there_is_no_verdict(
    name: str, change: Change, here: str, there: str
):
    found, status = between(change)
    assert Difference(name, here, there, True) in found
    assert {each.name for each in found if each.matters} == {name}
    assert status == 3


@pytest.mark.parametrize(
    ("name", "change", "here", "there"), UNDER_TEST, ids=[m[0] for m in UNDER_TEST]
)
def test_what_is_under_test_is_named_and_judged(name: str, change: Change, here: str, there: str):
    found, status = between(change)
    assert found == [Difference(name, here, there, False)]
    assert status == 0


def both(first: Change, second: Change) -> Change:
    return lambda found: second(first(found))


def test_a_seed_matters_where_tokens_are_drawn():
    drawn = plan(temperature=0.7, seed=1)(run()), plan(temperature=0.7, seed=2)(run())
    found, status = judged(*drawn)
    assert found == [Difference("seed", "1", "2", True)]
    assert status == 3


def test_how_beams_are_weighed_matters_where_there_are_some():
    found, status = between(plan(beam_alpha=2.0))
    assert found == [Difference("beam_alpha", "2", "1.2", False)]
    searched = plan(beam_alpha=2.0, num_beams=4)(run()), plan(num_beams=4)(run())
    assert judged(*searched) == ([Difference("beam_alpha", "2", "1.2", True)], 3)
    assert status == 0


def test_little_memory_more_or_less_is_the_same_machine():
    assert between(machine(ram_total=int((8 << 30) * 0.96))) == ([], 0)


def test_load_by_others_is_named_from_10_points_on():
    assert judged(watched(8)(run()), watched(0)(run())) == ([], 0)
    found, status = judged(watched(30)(run()), watched(0)(run()))
    assert found == [Difference("load by others", "30 %", "0 %", False)]
    assert status == 0


def test_another_prompt_of_the_same_name_matters():
    longer = (CASES[0], Case("two", "Another number of words."))
    found, status = judged(run(cases=longer), run())
    assert [(each.name, each.matters) for each in found] == [("prompt (two)", True)]
    assert status == 3


def test_what_differs_in_some_cases_names_the_first_and_counts_the_others():
    cases = (CASES[0], *(replace(each, changes={"gamma": 6}) for each in CASES[1:]))
    found, _ = judged(run(cases=cases), run(cases=CASES))
    assert found == [Difference("gamma (two and 2 more)", "6", "4", False)]


@pytest.mark.parametrize(
    ("measure", "status"), [("decode_tps", 0), ("tpot_ms", 0), ("ttft_ms", 3), ("prefill_tps", 3)]
)
def test_cached_prompts_are_unlike_in_what_they_take_to_read(measure: str, status: int):
    found, exit_status = between(events(Start, cached=3), measure)
    assert found == [Difference("cached prompt tokens", "3", "0", status == 3)]
    assert exit_status == status


def test_other_words_and_longer_answers_are_named():
    found, status = judged(run(f"That{SAID[2:]}"), run())
    assert [(each.name, each.matters) for each in found] == [("words of the answer", False)]
    assert status == 0

    longer = f"{SAID} And more."
    found, status = judged(run(longer), run())
    assert found[0] == Difference("tokens of the answer", "9", "7", False)
    assert found[1].name == "words of the answer"
    assert status == 0
    found, status = judged(run(longer), run(), "e2e_ms")
    assert found[0] == Difference("tokens of the answer", "9", "7", True)
    assert status == 3


def test_cold_answers_are_told_also_where_both_sides_have_some():
    cold = run()
    trials = [at for at, each in enumerate(cold) if isinstance(each, Start)]
    cold[trials[-1]] = replace(cold[trials[-1]], cold=True)
    found, _ = judged(cold, cold)
    assert found == [Difference("cold answers, left out", "1", "1", False)]


def server(name: str) -> Change:
    """Tells its name alone."""
    return model(
        name=name, sha256="", architecture="", vocabulary=0, template_sha256="", stop_ids=()
    )


def test_a_server_is_known_by_the_name_of_its_model():
    unknown = Difference("model file's hash", "unknown", "unknown", False)
    assert judged(server("m")(run()), server("m")(run())) == ([unknown], 0)
    found, status = judged(server("m")(run()), server("n")(run()))
    assert found == [Difference("model", "m", "n", True), unknown]
    assert status == 3


def test_where_token_ids_are_unknown_the_messages_tell_whether_prompts_are_the_same():
    untold = events(Start, prompt=())
    assert judged(untold(run()), untold(run())) == ([], 0)
    other = (CASES[0], replace(CASES[1], text="The owt words."))
    found, status = judged(untold(run(cases=other)), untold(run()))
    assert [(each.name, each.matters) for each in found] == [("prompt of two", True)]
    assert status == 3


def test_a_conversation_in_circles_comes_to_an_end():
    untold = events(Start, prompt=())
    found = [replace(each, after=1) if isinstance(each, Case) else each for each in untold(run())]
    assert judged(found, found) == ([], 0)


def test_weights_that_nobody_told_of_go_by_the_name_that_was_asked_for():
    def silent(found: list[Record]) -> list[Record]:
        return [each for each in found if not isinstance(each, Loaded)]

    unknown = Difference("model file's hash", "unknown", "unknown", False)
    assert judged(silent(run()), silent(run())) == ([unknown], 0)
    other = plan(model="other.gguf")(run())
    found, status = judged(silent(other), silent(run()))
    assert found == [Difference("model", "other.gguf", "smollm2", True), unknown]
    assert status == 3


def test_the_same_file_under_another_name_is_the_same_model():
    assert between(both(model(name="Copy", path="copy.gguf"), plan(model="copy.gguf"))) == ([], 0)


def then(sha256: str, model: str = "") -> Change:
    """From the last pass on, the weights of another file answer, also named so where it is told."""

    def change(found: list[Record]) -> list[Record]:
        at = [n for n, each in enumerate(found) if isinstance(each, Trial)][-2]
        rest = plan(model=model)(found[at:]) if model else found[at:]
        other = replace(LOADED, model=replace(MODEL, name="Other", sha256=sha256))
        return [*found[:at], other, *rest]

    return change


def test_a_file_that_was_replaced_meanwhile_leaves_nothing_to_compare():
    resumed = then("ef" * 32)(run())
    changed = ("model file that changed meanwhile", "abababababab, efefefefefef")
    found, status = judged(resumed, run())
    assert Difference(*changed, "–", True) in found
    assert status == 3
    both = ("abababababab, efefefefefef",) * 2
    assert judged(resumed, resumed) == ([Difference(changed[0], *both, True)], 3)


def test_several_files_that_were_asked_for_are_compared_as_a_set():
    two = then("ef" * 32, "other.gguf")(run())
    assert judged(two, two) == ([], 0)
    found, status = judged(two, then("cd" * 32, "other.gguf")(run()))
    assert found == [
        Difference(
            "model file",
            "Other efefefefefef, Script abababababab",
            "Other cdcdcdcdcdcd, Script abababababab",
            True,
        )
    ]
    assert status == 3


def test_where_one_of_several_hashes_is_unknown_names_decide():
    two = then("", "other.gguf")(run())
    told = ("abababababab, unknown",) * 2
    assert judged(two, two) == ([Difference("model file's hash", *told, False)], 0)
    found, status = judged(two, run())
    assert Difference("model", "Other, Script", "Script", True) in found
    assert status == 3


def test_weights_that_were_loaded_and_answered_nothing_say_nothing():
    assert judged([*run(), replace(LOADED, model=replace(MODEL, sha256="ef" * 32))], run()) == (
        [],
        0,
    )


@pytest.mark.parametrize(
    "environment", [{}, {"machine_info": [1], "packages": "x"}, {"machine_info": {"cpu": 5}}]
)
def test_an_environment_of_any_shape_is_unlike_ours(environment: object):
    found, status = between(header(environment))
    assert "processor" in {each.name for each in found if each.matters}
    assert status == 3


def test_a_log_without_its_header_ran_who_knows_where():
    found, status = judged(run()[1:], run())
    assert Difference("processor", "–", "A processor", True) in found
    assert status == 3


def test_methods_that_took_turns_differ_in_what_they_change_alone():
    turns = replace(PLAN, runs=3, methods=methods(["plain", "suffix gamma=6"]))
    found = beside(result(records(steady(25), turns)), "suffix gamma=6").differences
    assert [each.name for each in found] == ["drafter", "gamma", "gamma_policy"]


def chatted(folder: Path, *changes: tuple[str, object]) -> Result:
    """Of a chat in which each turn follows a change."""
    chat = chat_with(ScriptedEngine(), folder)
    list(chat.load())
    list(chat.ask("Hello?"))  # cold
    for name, value in changes:
        chat.set(name, value)  # type: ignore[arg-type]
        list(chat.ask("Go on."))
    path = chat.log.path
    chat.close()
    assert path
    return read_result(path)


def test_a_chat_is_known_by_what_was_set_turn_by_turn(tmp_path: Path):
    here = chatted(tmp_path / "here", ("gamma", 6), ("top_k", 5))
    there = chatted(tmp_path / "there", ("gamma", 4), ("length", 512))
    found = compare(here, there, "decode_tps", 0.1)
    assert found.exit_status == 3
    assert [each[1:] for each in found.differences if each.name == "top_k (turn 3)"] == [
        ("5", "0", True)
    ]
    assert [each[1:] for each in found.differences if each.name == "gamma"] == [("6", "4", False)]


def test_a_log_with_bad_lines_is_partial(tmp_path: Path):
    whole = chatted(tmp_path, ("gamma", 6))
    assert whole.path
    lines = whole.path.read_text("utf-8").splitlines()
    at = next(at for at, line in enumerate(lines) if '"prefill"' in line)
    lines[at] = lines[at][:20]
    torn = tmp_path / "torn.jsonl"
    torn.write_text("\n".join([*lines, ""]), "utf-8")
    found = compare(read_result(torn), whole, "decode_tps", 0.1)
    assert Difference("lines that can't be read, so that it is partial", "1", "0", False) in (
        found.differences
    )
    assert found.exit_status == 2


def test_what_a_log_says_is_shown_clean():
    found, _ = between(model(name="Evil\x1b[31m\nname", sha256="ef" * 32))
    assert found[0].here == "Evil\N{REPLACEMENT CHARACTER}[31m name efefefefefef"
    assert found[0].sentence.startswith("Model file: Evil")
