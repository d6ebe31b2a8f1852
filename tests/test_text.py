from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from tokenhud.engines.events import EngineError, Message
from tokenhud.engines.gguf_file import open_gguf
from tokenhud.engines.gguf_path import gguf_path
from tokenhud.engines.gguf_tokenizer import tokenizer, tokenizer_config
from tokenhud.engines.text import Text

from .tiny_gguf import TEMPLATE, tiny_model, write_gguf, write_sentence_piece

# Refuses a system message, and turns that do not alternate; writes its own BOS.
STRICT = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant.') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
FLAGS = "\U0001f3f3️‍\U0001f308 你好 \U0001f468‍\U0001f469‍\U0001f467"


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Checkpoint folders without weights: a byte-level BPE, a SentencePiece, the embedded model."""
    root = tmp_path_factory.mktemp("text")
    sources = {
        "bytes": write_gguf(root / "bytes.gguf", tiny_model()),
        "pieces": write_sentence_piece(root / "pieces.gguf"),
        "smollm2": gguf_path("smollm2"),
    }
    for name, source in sources.items():
        file, folder = open_gguf(source), root / name
        folder.mkdir()
        (folder / "tokenizer.json").write_text(tokenizer(file).to_str(), "utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(file)), "utf-8")
        (folder / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    (root / "pieces" / "chat_template.jinja").write_text(STRICT, "utf-8")
    return {name: root / name for name in sources}


@pytest.fixture(scope="session")
def texts(folders) -> dict[str, Text]:
    return {name: Text(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def theirs(folders):
    return {name: AutoTokenizer.from_pretrained(folder) for name, folder in folders.items()}


@pytest.fixture
def variant(folders, tmp_path):
    """The byte-level folder with other settings; `template` None takes the template away."""

    def make(template: object = TEMPLATE, jinja: str = "", **files: dict) -> Text:
        named = json.loads((folders["bytes"] / "tokenizer_config.json").read_text("utf-8"))
        named |= files.pop("tokenizer_config", {}) | {"chat_template": template}
        (tmp_path / "tokenizer.json").write_bytes(
            (folders["bytes"] / "tokenizer.json").read_bytes()
        )
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(named), "utf-8")
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), "utf-8")
        if jinja:
            (tmp_path / "chat_template.jinja").write_text(jinja, "utf-8")
        return Text(tmp_path)

    return make


def chat(*turns: str, system: str = "") -> list[Message]:
    """Alternating turns, the user's first."""
    first = [Message("system", system)] if system else []
    roles = ("user", "assistant")
    return [*first, *(Message(roles[n % 2], turn) for n, turn in enumerate(turns))]  # type: ignore[arg-type]


def shown(text: Text, messages: list[Message]) -> str:
    """The prompt as characters, control tokens included."""
    return text.tokenizer.decode(text.prompt(messages)[0], skip_special_tokens=False)


def expected(theirs, messages: list[Message]):
    turns = [{"role": each.role, "content": each.content} for each in messages]
    return theirs.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]


words = st.one_of(
    st.text(max_size=40),
    st.sampled_from([" lead", "tail ", "\n\n", "    def f(x):\n\treturn 1234", FLAGS, "the  the"]),
)


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(words, min_size=1, max_size=5), system=words)
@pytest.mark.parametrize("name", ["bytes", "pieces", "smollm2"])
def test_prompt_ids_are_those_of_transformers(texts, theirs, name, turns, system):
    messages = chat(*turns[: len(turns) - 1 + len(turns) % 2], system=system * (name != "pieces"))
    assert texts[name].prompt(messages) == (expected(theirs[name], messages), [])


def test_one_bos_where_the_template_writes_it(texts):
    ids, _ = texts["pieces"].prompt(chat("the", "in", "the"))
    assert (ids[0], ids.count(1)) == (1, 1)


spellings = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|stop|>", "<|start|>", "<|end|>"]
spellings += ["</s>", "<s>", "<unk>", "<|im_", "end|>", "<|<|stop|>stop|>", "<", "é", " ", "\n"]
forged = st.lists(st.sampled_from(spellings), max_size=12).map("".join)


@settings(max_examples=60, deadline=None)
@given(typed=forged, answered=forged, system=forged)
@pytest.mark.parametrize("name", ["bytes", "pieces", "smollm2"])
def test_spelled_control_tokens_stay_characters(texts, name, typed, answered, system):
    text = texts[name]
    control = {
        id_ for id_, each in text.tokenizer.get_added_tokens_decoder().items() if each.special
    }
    messages = chat(typed, answered, typed, system=system * (name != "pieces"))
    plain = chat("x", "x", "x", system="x" * bool(system * (name != "pieces")))
    ids = text.prompt(messages)[0]
    assert [id_ for id_ in ids if id_ in control] == [
        id_ for id_ in text.prompt(plain)[0] if id_ in control
    ]
    if name != "pieces":
        assert f"user\n{typed}<|" in text.tokenizer.decode(ids, skip_special_tokens=False)


def test_overlapping_spellings_stay_characters(variant, folders, tmp_path):
    variant()
    overlapping = Tokenizer.from_file(str(folders["bytes"] / "tokenizer.json"))
    overlapping.add_special_tokens(["<|a|>", "|>b"])
    overlapping.save(str(tmp_path / "tokenizer.json"))
    text = Text(tmp_path)
    assert not set(text.prompt(chat("<|a|>b"))[0]) & set(text.tokenizer.encode("<|a|>|>b").ids)
    assert "user\n<|a|>b<" in shown(text, chat("<|a|>b"))


def test_private_use_characters_are_not_taken_for_the_marker(texts):
    for content in ("\ue000<|stop|>\ue001", "\ue000\ue001\ue002"):
        assert f"user\n{content}<" in shown(texts["bytes"], chat(content))


def test_control_tokens_matched_after_normalisation_are_protected_too(folders, tmp_path):
    whole = json.loads((folders["pieces"] / "tokenizer.json").read_text("utf-8"))
    for each in whole["added_tokens"]:
        each["normalized"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole, indent=2), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": STRICT, "bos_token": "<s>", "eos_token": "</s>"}), "utf-8"
    )
    assert Text(tmp_path).prompt(chat("</s> <s>"))[0].count(2) == 0


def test_lone_surrogates_become_one_mark_and_pairs_a_character(texts):
    text = texts["bytes"]
    assert "user\na\ufffdb\U0001f600<" in shown(text, chat("a\ud83db\ud83d\ude00"))


def test_a_system_message_that_is_refused_leads_the_first_user_message(variant):
    text = variant(STRICT)
    ids, notes = text.prompt(chat("hi", system="be brief"))
    assert text.tokenizer.decode(ids).startswith("[INST] be brief\n\nhi [/INST]")
    assert len(notes) == 1
    assert "system" in notes[0]


def test_a_system_message_is_not_dropped_in_silence(variant):
    text = variant("{% for m in messages if m.role != 'system' %}{{ m.content }};{% endfor %}")
    assert shown(text, chat("hi", system="be brief")) == "be brief\n\nhi;"


def test_turns_that_do_not_alternate_are_merged_for_templates_that_insist(variant):
    text = variant(STRICT)
    history = [*chat("one", ""), *chat("two", "yes"), *chat("three")]
    assert text.prompt(history)[1] == []  # it alternates, an empty answer and all
    history = [*chat("one"), *chat("two", "yes"), Message("assistant", ""), *chat("three")]
    ids, notes = text.prompt(history)
    shape = "[INST] one\n\ntwo [/INST] yes[INST] three [/INST]"
    assert text.tokenizer.decode(ids) == shape
    assert len(notes) == 1
    assert "merged" in notes[0]


def test_other_templates_get_the_history_as_it_is(variant):
    text = variant()
    assert shown(text, [*chat("a"), *chat("b", "")]).count("<|start|>") == 4
    assert text.prompt([*chat("a"), *chat("b", "")])[1] == []


def test_without_a_template_the_plain_lines_are_announced(variant):
    text = variant(None)
    ids, notes = text.prompt(chat("hi", "yo", "ok", system="s"))
    plain = "System: s\n\nUser: hi\n\nAssistant: yo\n\nUser: ok\n\nAssistant:"
    assert text.tokenizer.decode(ids) == plain
    assert "no chat template" in notes[0]
    assert text.template_sha256 != variant().template_sha256


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}",
        "{{ raise_exception('no') }}",
        "{{ messages[9].content }}{{ messages[9].content.x }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 'a' * 10 ** 11 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'a' * 999 }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_broken_and_hostile_templates_are_one_sentence(variant, template):
    with pytest.raises(EngineError, match="chat template") as caught:
        variant(template).prompt(chat("hi"))
    assert "\n" not in str(caught.value)


def test_templates_have_what_transformers_gives_them(variant):
    text = variant(
        "{%- for m in messages %}\n"
        "    {%- if loop.index > 1 %}{% break %}{% endif %}\n"
        "{% generation %}{{ m | tojson }}{% endgeneration %}\n"
        "{%- endfor %}{{ strftime_now('%%') }}{{ tools is none }}{{ eos_token }}"
    )
    shape = '{"role": "user", "content": "<é>"}%True<|end|>'
    assert shown(text, chat("<é>", "no")) == shape


def test_the_template_of_its_own_file_comes_first_and_default_of_several(variant):
    several = [{"name": "tool", "template": "tool"}, {"name": "default", "template": "plain"}]
    assert shown(variant(several), chat("hi")) == "plain"
    assert shown(variant(several, jinja="file"), chat("hi")) == "file"


def test_stop_ids_are_the_union_of_what_every_file_says(variant):
    silent = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert variant(silent).stop_ids == {0}
    assert variant(silent, generation_config={"eos_token_id": [5, 7]}).stop_ids == {0, 5, 7}
    assert variant(silent, config={"eos_token_id": 9}).stop_ids == {0, 5, 7, 9}
    as_object = {"eos_token": {"content": "<|start|>"}}
    assert 1 in variant(silent, tokenizer_config=as_object).stop_ids


def test_the_templates_own_end_of_turn_stops(variant):
    assert variant(TEMPLATE).stop_ids == {0, 2}  # <|stop|>, which no file names


def test_a_customary_end_stops_where_no_file_declares_it(texts):
    assert texts["smollm2"].stop_ids == {0, 2}  # <|endoftext|> is declared by none


def test_blank_added_tokens_do_not_end_a_turn(variant, folders, tmp_path):
    variant(TEMPLATE.replace("<|stop|>\n", "\n\n<|stop|>"))
    blank = Tokenizer.from_file(str(folders["bytes"] / "tokenizer.json"))
    blank.add_tokens(["\n\n"])
    blank.save(str(tmp_path / "tokenizer.json"))
    assert Text(tmp_path).stop_ids == {0, 2}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", ["bytes", "smollm2"])
def test_pieces_of_any_ids_join_to_one_decode(texts, name, data):
    text = texts[name]
    ids = data.draw(st.lists(st.integers(0, text.vocabulary - 1), max_size=30))
    assert joined(text, ids) == text.tokenizer.decode(ids)


@settings(max_examples=100, deadline=None)
@given(written=st.text(st.characters(codec="utf-8"), max_size=30))
@pytest.mark.parametrize("name", ["bytes", "pieces", "smollm2"])
def test_pieces_of_any_text_join_to_it(texts, name, written):
    text = texts[name]
    ids = text.tokenizer.encode(written, add_special_tokens=False).ids
    assert joined(text, ids) == text.tokenizer.decode(ids)


@pytest.mark.parametrize("name", ["bytes", "pieces", "smollm2"])
@pytest.mark.parametrize("written", [" a", "\ta", "        return x", "a  b ", "\n", FLAGS])
def test_spaces_and_split_characters_survive(texts, name, written):
    ids = texts[name].tokenizer.encode(written, add_special_tokens=False).ids
    assert joined(texts[name], ids) == written


def joined(text: Text, ids: list[int]) -> str:
    stream = text.detokeniser()
    return "".join(stream.push(each) for each in ids) + stream.flush()


@pytest.mark.parametrize("name", ["bytes", "pieces"])
def test_a_character_comes_with_its_last_byte(texts, name):
    """Both vocabularies spell these one byte a token."""
    stream = texts[name].detokeniser()
    for character in "é你\U0001f3f3":
        spelled = texts[name].tokenizer.encode("." + character, add_special_tokens=False).ids
        *held, last = spelled[-len(character.encode()) :]
        assert [stream.push(each) for each in held] == [""] * len(held)
        assert stream.push(last) == character
    assert stream.flush() == ""


@pytest.mark.parametrize("name", ["bytes", "pieces", "smollm2"])
def test_an_answer_cut_inside_a_character_ends_in_one_mark(texts, name):
    ids = texts[name].tokenizer.encode("a\U0001f3f3", add_special_tokens=False).ids
    assert joined(texts[name], ids[:-1]) == "a\ufffd"


def test_control_and_stop_tokens_have_no_text(texts, variant):
    stream = texts["smollm2"].detokeniser()
    assert [stream.push(id_) for id_ in (0, 1, 2, 10**9)] == [""] * 4
    plain = variant(generation_config={"eos_token_id": 40})
    assert plain.detokeniser().push(40) == ""


def test_damaged_folders_are_engine_errors(variant, tmp_path):
    with pytest.raises(EngineError, match="tokenizer"):
        Text(tmp_path / "none")
    variant()
    (tmp_path / "tokenizer_config.json").write_text("[1]", "utf-8")
    with pytest.raises(EngineError, match="settings"):
        Text(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{", "utf-8")
    with pytest.raises(EngineError, match="JSON"):
        Text(tmp_path)
