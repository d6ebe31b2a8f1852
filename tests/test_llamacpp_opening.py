"""From a GGUF to an answer of llama.cpp: its files, its text, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from tokenhud.engines.drafting import open_drafter
from tokenhud.engines.events import (
    EngineError,
    Event,
    Loaded,
    Message,
    Prefill,
    Request,
    Start,
    Step,
    Stop,
)
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.opening import open_model
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.parts import Parts
from tokenhud.engines.process import ProcessEngine

from .test_gguf_transformers import qwen3
from .tiny_gguf import TOKENS, drained, tiny_model, write_gguf

pytest.importorskip("llama_cpp")

CHATS = ["the 123 !", "the\n\n !<|stop|>\n<|start|>system\nthe", "naïve — 你好 👍🏽"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", tiny_model(max_position_embeddings=512))


def spec(model: Path | str, **settings: object) -> Spec:
    shared: dict[str, Any] = {"target": "llamacpp", "threads": 1, "device": "cpu"}
    return Spec(model=str(model), **shared | settings)


def opened(model: Path | str, **settings: object) -> Parts:
    return drained(open_model(spec(model, **settings)))[1]


def asked(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def test_ids_and_what_is_told_of_the_model_are_those_of_the_torch_path(tiny):
    here = opened(tiny)
    there = opened(tiny, target="native")
    assert here.notes == ()
    assert here.model == there.model
    assert here.text.spelling() == there.text.spelling()
    for chat in CHATS:
        assert here.text.prompt(asked(chat)) == there.text.prompt(asked(chat))
    here.target.close()


def test_only_the_text_is_converted(tiny, cache):
    opened(tiny).target.close()
    (folder,) = (each for each in cache.iterdir() if each.is_dir() and each.name != "digests")
    assert "model.safetensors" not in {each.name for each in folder.iterdir()}


def test_a_tokenizer_that_only_llama_cpp_knows_gives_its_ids(tmp_path, tiny):
    """Of this name it cuts texts as gpt-2 does, so the ids are known."""
    known = opened(tiny)
    other = opened(write_gguf(tmp_path / "other.gguf", tiny_model(), pre="mpt"))
    assert "only llama.cpp knows" in other.notes[0]
    for chat in CHATS:
        ids, notes = other.text.prompt(asked(chat))
        assert (ids, notes) == known.text.prompt(asked(chat))
        spelled = other.text.detokeniser()
        assert chat in "".join(map(spelled.push, ids)) + spelled.flush()
    assert other.text.spelling() == known.text.spelling()
    assert known.text.stop_ids <= other.text.stop_ids
    known.target.close()
    other.target.close()


def test_a_tokenizer_that_reads_otherwise_is_told(tiny, monkeypatch):
    from tokenhud.engines import gguf_tokenizer

    monkeypatch.setitem(gguf_tokenizer.PATTERNS, "gpt-2", (r"\d", r"\s+|\S+"))
    parts = opened(tiny)
    (note,) = parts.notes
    assert note.startswith("The tokenizer in use reads '")
    parts.target.close()


def test_an_architecture_that_our_converter_lacks_runs(tmp_path):
    parts = opened(write_gguf(tmp_path / "q.gguf", qwen3(head_dim=16), pre="qwen2"))
    assert (parts.model.architecture, parts.model.vocabulary) == ("qwen3", len(TOKENS))
    assert parts.target.logits([5, 9, 60], 1).shape == (1, len(TOKENS))
    parts.target.close()


def events(engine: LocalEngine, request: Request) -> list[Event]:
    return list(engine.stream(request))


def told(found: list[Event]) -> list[int]:
    return [token for each in found if isinstance(each, Step) for token in each.tokens]


def test_a_conversation_reads_only_what_is_new_and_drafts_keep_the_words(tiny):
    engine = LocalEngine(open_model)
    question = Request(asked("the !" * 20), spec(tiny, kv_type="f32"), Sampling(length=40))
    plain = events(engine, question)
    drafted = events(
        engine,
        Request(
            question.messages,
            spec(tiny, kv_type="f32", drafter="suffix", gamma_policy="fixed"),
            Sampling(length=40),
        ),
    )
    assert told(plain) == told(drafted)
    start = next(each for each in drafted if isinstance(each, Start))
    assert start.cached == len(start.prompt) - 1
    assert start.spec.target == "llamacpp"
    assert isinstance(drafted[-1], Stop)
    assert drafted[-1].memory["kv_cache"] > 0
    engine.close()


def test_a_cancel_ends_the_reading_between_two_passes(tiny):
    engine = LocalEngine(open_model)
    seen: list[Event] = []
    for event in engine.stream(Request(asked("the " * 300), spec(tiny), Sampling())):
        seen.append(event)
        if isinstance(event, Prefill) and event.done:
            engine.cancel()
    assert seen[-1].reason == "cancelled"
    assert not any(isinstance(each, Step) for each in seen)
    again = events(engine, Request(asked("the"), spec(tiny), Sampling(length=3)))
    assert len(told(again)) == 3
    engine.close()


def test_a_gguf_that_drafts_is_opened_as_its_target_is(tiny):
    wanted: list[Spec] = []

    def opener(each: Spec) -> Any:
        wanted.append(each)
        return (yield from open_model(each))

    asked_for = spec(tiny, drafter="speculative", draft_model=str(tiny))
    parts = drained(open_model(asked_for))[1]
    drained(open_drafter(asked_for, parts, opener))
    native = spec(tiny, target="native", drafter="speculative", draft_model=str(tiny))
    drained(open_drafter(native, parts, opener))
    assert [each.target for each in wanted] == ["llamacpp", "auto"]
    engine = LocalEngine(open_model)
    found = events(engine, Request(asked("the"), asked_for, Sampling(length=20)))
    steps = [each for each in found if isinstance(each, Step)]
    assert sum(each.accepted for each in steps) > 0
    engine.close()


def cut(share: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        whole = write_gguf(path, tiny_model()).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return write


def split(path: Path) -> None:
    write_gguf(path, tiny_model())
    add(path, "split.count", 3, gguf.GGUFValueType.UINT16)


def encoder(path: Path) -> None:
    write_gguf(path, tiny_model())
    add(path, "llama.attention.causal", False, gguf.GGUFValueType.BOOL)


def hostile_template(path: Path) -> None:
    write_gguf(path, tiny_model())
    add(path, "tokenizer.chat_template", "{% for a in range(10**9) %}{% endfor %}" * 2)


def add(path: Path, key: str, value: object, kind: Any = gguf.GGUFValueType.STRING) -> None:
    reader = gguf.GGUFReader(path)
    out = gguf.GGUFWriter(path.with_name("added.gguf"), "llama")
    for name, each in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", key):
            kinds = each.types
            out.add_key_value(name, each.contents(), kinds[0], kinds[1] if len(kinds) > 1 else None)
    out.add_key_value(key, value, kind)
    for tensor in reader.tensors:
        out.add_tensor(tensor.name, tensor.data)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file):
        write()
    out.close()
    path.with_name("added.gguf").rename(path)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut at 10 %": (cut(0.1), "cut short"),
    "cut at 50 %": (cut(0.5), "cut short"),
    "cut at 99 %": (cut(0.99), "cut short"),
    "a text": (
        lambda path: path.write_text("A text.\n" * 9),
        "does not begin as one",
    ),
    "a folder": (Path.mkdir, "is not a regular file"),
    "nothing": (Path.exists, "There is no file"),
    "a novel architecture": (
        lambda path: write_gguf(path, tiny_model(), architecture="novel"),
        "llama.cpp cannot load bad.gguf: unknown model architecture: 'novel'",
    ),
    "a novel tokenizer": (
        lambda path: write_gguf(path, tiny_model(), pre="novel"),
        "llama.cpp cannot load bad.gguf: .*unknown pre-tokenizer type: 'novel'",
    ),
    "weights that are missing": (
        lambda path: write_gguf(path, tiny_model(), architecture="gemma3"),
        "llama.cpp cannot load bad.gguf: .*post_attention_norm.weight' not found",
    ),
    "a part of a model": (split, "is one of 3 parts"),
    "no causal model": (encoder, "no causal language model"),
    "a template without end": (hostile_template, "does not come to an end"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_used_is_one_sentence(tmp_path, why):
    write, said = REFUSED[why]
    path = tmp_path / "bad.gguf"
    write(path)
    with pytest.raises(EngineError, match=said) as refusal:
        opened(path).text.prompt(asked("hi"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("model", ["no such model", "~nobody/x", "org/name", "a\0b"])
def test_what_is_no_gguf_file_says_what_to_name(model):
    with pytest.raises(EngineError, match=r"llama\.cpp runs GGUF files.*a \.gguf file"):
        opened(model)


def test_a_file_on_which_the_library_gives_up_ends_the_worker_alone(tmp_path):
    path = tmp_path / "bad.gguf"
    write_gguf(path, tiny_model())
    add(path, "llama.attention.head_count_kv", 0, gguf.GGUFValueType.UINT32)
    engine = ProcessEngine()
    try:
        last = list(engine.load(spec(path)))[-1]
        assert isinstance(last, Stop)
        assert "\n" not in last.what
        good = write_gguf(tmp_path / "good.gguf", tiny_model())
        assert isinstance(list(engine.load(spec(good)))[-1], Loaded)
    finally:
        engine.close()
