"""/compare quant: the same weights in every form, on the chat itself."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from itertools import count
from math import exp, log
from statistics import fmean

import numpy as np
import pytest

from tokenhud.__main__ import main
from tokenhud.engines.events import EngineError, Loaded, Progress, Scored, Start, Step, Stop
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.parts import Parts
from tokenhud.sessions import quant
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.encoding import from_line, to_line
from tokenhud.sessions.log import Log
from tokenhud.sessions.quant import Comparison, Passage, Row, compare_quant, forms, passages
from tokenhud.sessions.records import Trial, Turn
from tokenhud.sessions.summary import split_turns
from tokenhud.sessions.trials import CancelledError, last_sampling
from tokenhud.sessions.verify import Verified
from tokenhud.tui.chat.readings import Readings
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Reply
from tokenhud.tui.commands.quant import quant_json, quant_table

from .fakes import ScriptedEngine, words
from .tiny import TinyTarget
from .tiny_engine import MODEL, HeldTarget, Letters

SPEC = Spec(model="tiny")
NOISE = {"bf16": 0.05, "int8": 0.0, "int4": 3.0}


class Rounded(HeldTarget):
    """Every row a little off, by the form of the weights."""

    context = 1024

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def row(self, tokens):
        drawn = np.random.default_rng([7, *tokens[-self.order :]]).normal(size=self.vocab)
        return super().row(tokens) + self.noise * drawn


class Foreign(Letters):
    def prompt(self, messages):
        return [2] * len(super().prompt(messages)[0]), []


def open_form(spec: Spec) -> Generator[Progress, None, Parts]:
    yield Progress(1, "Opening", 0, 0)
    if spec.quantize == "nf4" or spec.dtype == "float16":
        raise EngineError("This is not held here.", "Use another.")
    text = Foreign() if spec.target == "llamacpp" else Letters()
    used = replace(spec, device="cpu", threads=1, context=1024)
    return Parts(Rounded(NOISE.get(spec.quantize, 0.0)), text, MODEL, used)


def chat_of(spec: Spec = SPEC, **sampling) -> Chat:
    options = Sampling(**{"length": 12, **sampling})
    log_ = Log.in_memory(header(spec, options))
    return Chat(LocalEngine(open_form, clock=count().__next__), log_, spec, options)


def asked(spec: Spec = SPEC, **sampling) -> Chat:
    chat = chat_of(spec, **sampling)
    list(chat.ask("hello"))
    list(chat.ask("and then"))
    return chat


def compared(chat: Chat) -> Comparison:
    steps = compare_quant(chat)
    while True:
        try:
            assert isinstance(next(steps), Progress)
        except StopIteration as done:
            result: Comparison = done.value
            return result


def own_surprisals(chat: Chat) -> list[float]:
    found = []
    for prompt, answer in passages(chat.log.records, "tiny"):
        for place, token in enumerate(answer):
            row = TinyTarget().row([*prompt, *answer[:place]])
            found.append(log(np.exp(row).sum()) - row[token])
    return found


def test_every_form_is_judged_on_the_answers_of_the_chat():
    chat = asked(temperature=0.8, seed=3)
    found = compared(chat)
    rows = {each.kind: each for each in found.rows}
    assert [*rows] == ["none", "bf16", "int8", "int4"]
    assert found.skipped == {"nf4": "This is not held here. Use another."}
    assert rows["none"].perplexity == pytest.approx(exp(fmean(own_surprisals(chat))))
    assert (found.answers, found.asked) == (2, True)
    assert found.tokens == len(own_surprisals(chat))
    prompt = passages(chat.log.records, "tiny")[0].prompt
    assert 0 < found.prompt <= len(prompt) - len("Hello.")  # which the warm-up left held
    for same in (rows["none"], rows["int8"]):
        assert (same.loss, same.agreement, same.words.verdict) == (0, 1, "identical")
    assert 0 < abs(rows["bf16"].loss) < rows["int4"].loss
    assert rows["int4"].agreement < 1
    assert rows["int4"].words.position is not None


def test_every_figure_of_a_row_is_known():
    for each in compared(asked()).rows:
        assert each.memory == {"weights": 8}
        assert None not in (each.load_ns, each.ttft_ns, each.prefill_rate, each.decode_rate)
        assert each.speedup == pytest.approx(1, abs=0.2)


def test_the_chat_and_its_settings_stay_as_they_were():
    chat = asked(replace(SPEC, quantize="int4", drafter="suffix"), temperature=0.8)
    before = last_sampling(chat), chat.spec, [each.answer for each in chat.exchanges]
    known = Readings.of(chat.log.records)
    compared(chat)
    assert before == (last_sampling(chat), chat.spec, [each.answer for each in chat.exchanges])
    assert len(split_turns(chat.log.records)) == 2
    assert not chat.busy
    after = Readings.of(chat.log.records)
    assert (after.start, after.session_rate) == (known.start, known.session_rate)
    last = next(each for each in reversed(chat.log.records) if isinstance(each, Loaded))
    assert after.loaded == last
    assert last.spec.quantize == "int4"
    events = list(chat.ask("more"))
    assert not any(isinstance(each, Loaded) for each in events)


def test_the_log_tells_what_the_figures_were_made_from():
    chat = asked()
    found = compared(chat)
    records = chat.log.records
    assert [from_line(to_line(each, 0)) for each in records[1:]] == records[1:]
    nats: dict[str, list[float]] = {}
    for at, each in enumerate(records):
        if isinstance(each, Scored):
            start = next(e for e in reversed(records[:at]) if isinstance(e, Start))
            nats.setdefault(start.spec.quantize, []).extend(each.surprisals)
    for each in found.rows:
        assert exp(fmean(nats[each.kind])) == pytest.approx(each.perplexity)
    trials = [each for each in records if isinstance(each, Trial)]
    assert {(each.purpose, each.swaps) for each in trials} == {("quant", True)}
    assert {each.turn_id for each in trials} == {2, None}


def test_without_an_answer_the_reference_gives_some():
    chat = chat_of()
    found = compared(chat)
    assert (found.asked, found.answers) == (False, len(quant.QUESTIONS))
    assert found.tokens <= 12 * len(quant.QUESTIONS)
    assert found.rows[0].agreement == 1
    assert not chat.exchanges
    assert {e.turn_id for e in chat.log.records if isinstance(e, Trial)} == {None}


def test_each_form_is_loaded_twice_in_either_order():
    chat = asked()
    before = len(chat.log.records)
    compared(chat)
    loads = [e.spec.quantize for e in chat.log.records[before:] if isinstance(e, Loaded)]
    once = ["bf16", "int8", "int4"]  # none is held when it begins, nothing once nf4 has failed
    assert loads == [*once, *once[::-1], "none", "none"]  # at last it is told, and not loaded


def test_another_tokenizer_s_ids_are_not_compared():
    found = compared(asked(replace(SPEC, model="tiny.gguf")))
    assert "other ids" in found.skipped["llama.cpp"]
    assert "none" in [each.kind for each in found.rows]


def test_forms():
    assert [*forms(replace(SPEC, dtype="bfloat16"))] == ["none", "int8", "int4", "nf4"]
    found = forms(Spec(target="llamacpp", drafter="suffix"))
    assert {each.drafter for each in found.values()} == {"plain"}
    assert (found["none"].target, found["llama.cpp"].target) == ("auto", "llamacpp")
    assert forms(Spec(target="hf"))["int8"].target == "hf"


def test_passages_are_the_last_answers_of_the_model_and_bounded():
    def turn(n: int, model: str, tokens: int) -> list:
        start = Start(0, (n,), 0, False, Spec(model=model), Sampling())
        step = Step((n,) * tokens, ("",) * tokens, 0, 0, 1)
        return [Turn(n, "", ""), start, step, Stop(2, "stop")]

    log_ = [*turn(1, "a", 600), *turn(2, "b", 9), *turn(3, "a", 700), *turn(4, "a", 0)]
    assert passages(log_, "a") == [Passage((3,), (3,) * 700), Passage((1,), (1,) * 300)]
    assert passages(log_, "c") == []


def test_a_reference_that_cannot_run_ends_it():
    with pytest.raises(EngineError, match="not held here"):
        compared(chat_of(replace(SPEC, dtype="float16")))


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_cancel_ends_it_wherever_it_stands_and_the_chat_goes_on(steps):
    chat = asked()
    running = compare_quant(chat)
    for _ in range(steps):
        next(running)
    engine = chat.engine
    ask = {name: getattr(engine, name) for name in ("stream", "score")}
    for name, method in ask.items():
        setattr(engine, name, lambda request, method=method: _cancelled(chat, method, request))
    with pytest.raises(CancelledError):
        list(running)
    for name in ask:
        delattr(engine, name)
    assert not chat.busy
    assert list(chat.ask("next"))[-1].reason in ("stop", "length")


def _cancelled(chat, method, request):
    events = method(request)
    chat.cancel()
    return events


SAME = Verified("int8", "identical", 64)
ROW = Row(
    "none", {"weights": 2**29, "kv_cache": 2**20}, 10**9, 300.0, 1e8, 50.0, 1.0, 4.0, 0, 1.0, SAME
)


def form(kind: str, speedup: float | None, loss: float, words_: Verified = SAME) -> Row:
    words_ = replace(words_, drafter=kind)
    rate = 50 * speedup if speedup else None
    return replace(
        ROW,
        kind=kind,
        speedup=speedup,
        decode_rate=rate,
        loss=loss,
        perplexity=4 * (1 + loss),
        words=words_,
    )


def table(*rows: Row, tokens: int = 400, **skipped: str) -> Comparison:
    return Comparison((ROW, *rows), skipped, 2, tokens, True, 30, 64, "float32", "Q4_1")


def test_the_fastest_within_one_percent_is_recommended():
    found = table(form("bf16", 1.4, 0.001), form("int8", 1.6, 0.01), form("int4", 2.5, 0.011))
    assert found.recommended.kind == "int8"
    assert table(form("int8", 0.99, -0.1), form("int4", 3, 0.2)).recommended is None
    assert table(form("int8", None, 0)).recommended is None


KINDS = ("none", "bf16", "int4", "llama.cpp", "nf4")


def test_the_table():
    differs = Verified("", "different", 64, position=12, margin=0.125)
    shorter = Verified("", "different", 60)
    found = quant_table(
        table(
            form("bf16", 1.4, 0.001),
            form("int4", 2.5, 0.5, differs),
            form("llama.cpp", 3, 0.0, shorter),
            nf4="It\ndoes not fit.",
        )
    )
    lines = found.splitlines()
    of = {kind: [each.split() for each in lines if each.startswith(f"{kind} ")] for kind in KINDS}
    assert max(map(len, lines[3:-2])) <= 60  # where the HUD stands beside
    assert "The reference is none: float32 of the file's Q4_1." in lines
    costs, quality = of["int4"]
    assert costs == ["int4", "512", "1", "1.0", "300.0", "125.0", "2.50"]
    assert " ".join(quality) == "int4 6.000 +50.00 100 % from token 13, lead 0.12"
    assert [of[kind][1][5:] for kind in ("none", "bf16")] == [["same"], ["same"]]
    assert of["llama.cpp"][1][-2:] == ["end", "elsewhere"]
    assert [" ".join(each) for each in of["nf4"]] == ["nf4 is left out: It does not fit."]
    assert lines[-1] == (
        "Recommended here: llama.cpp, 3.00× as fast, perplexity +0.00 %. /runtime llamacpp sets it."
    )
    assert quant_table(table(form("int8", 1, 0.2))).endswith("stay with it.")
    assert quant_table(table(form("int8", 2, 0), tokens=90)).endswith("a longer chat tells more.")


def test_as_json():
    record = json.loads(quant_json(table(form("int8", 1.5, 0.0))))
    assert record["recommended"] == "int8"
    assert [each["kind"] for each in record["rows"]] == ["none", "int8"]
    assert record["rows"][0]["memory"]["weights"] == 2**29


def typed(chat: Chat, line: str) -> Reply:
    call = commands.parse(line)
    assert isinstance(call, Call)
    return commands.run(chat, call)


def test_the_command_tells_what_it_does_then_the_table():
    chat = asked()
    reply = typed(chat, "/compare quant")
    begin, table_ = [each for each in reply.job() if isinstance(each, str)]
    assert "Esc ends it" in begin
    assert "nf4 is left out: This is not held here. Use another." in table_
    refused = typed(chat, "/compare speed")
    assert not refused.ok
    assert "quant" in refused.text


def test_a_script_is_compared_too_and_faults_are_sentences():
    log_ = Log.in_memory(header(Spec(), Sampling()))
    chat = Chat(ScriptedEngine(words("An answer.")), log_, Spec(), Sampling())
    list(chat.ask("hello"))
    table_ = list(typed(chat, "/compare quant").job())[-1]
    assert table_.count("100 %  same") == len(forms(Spec()))
    broken = chat_of(replace(SPEC, dtype="float16"))
    assert list(typed(broken, "/compare quant").job())[-1] == "This is not held here. Use another."


@pytest.mark.model
def test_the_embedded_model_in_int8(monkeypatch, capsys):
    monkeypatch.setattr(quant, "QUANTIZATIONS", ("none", "int8"))
    monkeypatch.setattr(quant, "is_gguf", lambda _: False)
    monkeypatch.setattr(quant, "ROUNDS", 1)
    monkeypatch.setattr(quant, "RUNS", 1)
    monkeypatch.setattr("sys.stdin", None)
    assert main(["compare", "quant", "Why is the sky blue?", "--length", "16", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    none, int8 = record["rows"]
    assert (record["tokens"], record["file"], record["skipped"]) == (16, "Q4_1", {})
    assert int8["memory"]["weights"] < 0.5 * none["memory"]["weights"]
    assert none["agreement"] == 1
    assert int8["agreement"] >= 0.75
    assert abs(int8["loss"]) < 0.1
    assert 1 < none["perplexity"] < 10
