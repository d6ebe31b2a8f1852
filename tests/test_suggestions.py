"""What is advised, and on what it rests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import Loaded
from tokenhud.engines.models_here import ModelHere, Place, models_here
from tokenhud.engines.options import DRAFTERS, GAMMA_POLICIES, Spec
from tokenhud.sessions.bench.saved_results import Saved
from tokenhud.sessions.costs import Costs, Verification
from tokenhud.sessions.measured_here import MeasuredHere, closest, in_chat, in_results, speedup
from tokenhud.sessions.records import Header
from tokenhud.sessions.suggestions import Known, Suggestion, suggestions

from .fakes import MODEL, Beat, ScriptedEngine, chat_with, words
from .tiny_gguf import tiny_model, write_gguf

HERE = Spec(target="native", device="cpu", threads=2, context=2048)
LOADED = Loaded(0, replace(MODEL, parameters=135_000_000), HERE, 1, {"weights": 540_000_000})


def measured(rate: float, source: str = "this chat", tokens: int = 200, **changes) -> MeasuredHere:
    kept = 0.6 if changes.get("drafter", "plain") != "plain" else None
    return MeasuredHere(replace(HERE, **changes), MODEL.sha256, 3, tokens, rate, kept, source)


def advised(*here: MeasuredHere, spec: Spec | None = None, **known) -> dict[str, Suggestion]:
    told = suggestions(Known(spec=spec or HERE, here=here, **{"loaded": LOADED} | known))
    return {each.command or each.sentence: each for each in told}


def test_a_method_that_wins_here_is_kept() -> None:
    told = advised(measured(20), measured(36, drafter="suffix"), spec=Spec(drafter="suffix"))
    stay = "suffix γ auto is 1.80 times plain here and kept 60 % of its drafts: stay."
    assert told[stay].basis == "measured: 3 answers in this chat"
    assert "/autoregressive" not in told


def test_a_method_that_loses_here_gives_way() -> None:
    told = advised(measured(20), measured(11, drafter="suffix"), spec=Spec(drafter="suffix"))
    assert "plain decoded 20.0 tok/s here, suffix γ auto 11.0" in told["/autoregressive"].sentence


def test_the_gamma_that_was_fastest_here_is_named() -> None:
    def at(n: int) -> MeasuredHere:
        return measured(20 + n, drafter="ngram", gamma=n, gamma_policy="fixed")

    told = advised(at(2), at(6), at(4), spec=at(2).spec)
    assert "/gamma 6" in told


def test_what_was_too_short_to_tell_is_not_told() -> None:
    short = measured(90, drafter="ngram", tokens=12)
    assert "/ngram" not in advised(measured(20), short)


def test_weights_go_by_what_was_measured_and_else_by_the_rule() -> None:
    assert advised()["/quantize int8"].basis.startswith("rule")
    slower = advised(measured(20), measured(15, quantize="int8"))
    assert "/quantize int8" not in slower
    faster = advised(measured(20), measured(41, quantize="int8", source="a"))["/quantize int8"]
    assert "decoded 41.0 tok/s here, native float32 20.0" in faster.sentence
    assert faster.basis == "measured: 3 answers in a, and 3 answers in this chat"
    llama = advised(measured(20), measured(84, target="llamacpp"))
    assert "/runtime llamacpp" in llama


def test_a_draft_model_is_judged_by_its_share_of_the_parameters() -> None:
    def model(name: str, parameters: int) -> ModelHere:
        return ModelHere(name, name, "checkpoint", 1, parameters, False)

    large, small = model("org/half", 70_000_000), model("/m/tiny.gguf", 13_000_000)
    assert any("none so small lies here" in each for each in advised(models=[large]))
    assert "/drafter /m/tiny.gguf" in advised(models=[large, small])
    asked = replace(HERE, drafter="speculative", draft_model="org/half")
    assert "has 52 % of the target's" in advised(spec=asked, models=[large])["/suffix"].sentence


def test_a_dear_drafter_is_told_by_its_cost() -> None:
    costs = Costs(plain_ns=1e7, c=0.6, v=(Verification(4, 1.2, 20),), drafts=20)
    told = advised(spec=replace(HERE, drafter="speculative"), costs=costs)["/suffix"]
    assert "costs 0.60 of a plain pass: at γ 4 that is 1.47 times plain" in told.sentence
    assert told.basis == "measured: 20 drafts of this chat"


def test_the_machine_has_a_say() -> None:
    assert "/device cuda" in advised(gpu=True)
    assert "/threads auto" in advised(cpus=1.5)
    assert "of 954 MiB of memory" in advised(memory=1_000_000_000)["/quantize int8"].sentence


def test_a_server_is_advised_nothing() -> None:
    assert advised(spec=Spec(url="http://gpu1:8000")) == {}


@given(st.sampled_from(DRAFTERS), st.sampled_from(GAMMA_POLICIES), st.booleans())
def test_no_speed_is_claimed_that_was_not_measured(drafter, policy, gpu) -> None:
    spec = replace(HERE, drafter=drafter, gamma_policy=policy)
    for each in advised(spec=spec, gpu=gpu).values():
        assert "tok/s" not in each.sentence
        assert "times plain" not in each.sentence
        assert not each.basis.startswith("measured")


def test_a_chat_tells_what_its_methods_gave(tmp_path: Path) -> None:
    drafts = [Beat((" x", " y"), 4, 1, 25) for _ in range(5)]
    with chat_with(ScriptedEngine(words("a b c"), words("a b c d e"), drafts), tmp_path) as chat:
        for _ in chat.load():
            pass
        for drafter in ("plain", "plain", "suffix"):
            chat.set("drafter", drafter)
            for _ in chat.ask("say"):
                pass
        plain, suffix = in_chat(chat.log.records)
    assert (plain.answers, plain.decode_rate, plain.acceptance) == (1, 40.0, None)  # one was cold
    assert (suffix.decode_rate, suffix.acceptance) == (80.0, 0.25)
    assert speedup(suffix, [plain, suffix]) == 2
    assert closest([plain, suffix], lambda spec: spec.drafter == "suffix", HERE, "") == suffix
    assert closest([plain], lambda spec: spec.drafter == "ngram", HERE, "") is None


def test_what_another_machine_measured_is_not_told(tmp_path: Path) -> None:
    with chat_with(ScriptedEngine(words("a b c")), tmp_path) as chat:
        for _ in (*chat.ask("one"), *chat.ask("two")):
            pass
        begun, path = chat.log.records[0], chat.log.path
    assert isinstance(begun, Header)
    assert path
    here = begun.environment
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "runs.jsonl").write_bytes(path.read_bytes())
    kept = [Saved(folder, "", "bench", (), ())]
    assert [each.source for each in in_results(kept, here)] == ["result"]
    elsewhere = {**here, "machine_info": {**here["machine_info"], "cpu": {"name": "another"}}}
    assert list(in_results(kept, elsewhere)) == []


def test_models_are_found_with_what_their_headers_tell(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    path = write_gguf(below / "tiny.gguf", tiny_model())
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    (tmp_path / "a" / "config.json").write_text("{}")  # no whole checkpoint
    found = [each for each in models_here([Place(tmp_path, 2)]) if each.model != "smollm2"]
    assert [(each.model, each.gguf) for each in found] == [(str(path), True)]
    assert found[0].parameters
    near = models_here([Place(tmp_path, 1)])
    assert [each.model for each in near if each.model != "smollm2"] == []
