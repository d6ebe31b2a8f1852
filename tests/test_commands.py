from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log
from tokenhud.sessions.records import Setting
from tokenhud.tui.commands.grammar import Call, Problem, Text
from tokenhud.tui.commands.table import COMMANDS, parse, run

from .fakes import ScriptedEngine, words

SPEC, SAMPLING = Spec(), Sampling()


@pytest.fixture
def chat(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    log = Log.create(tmp_path / "sessions", header(SPEC, SAMPLING))
    chat = Chat(ScriptedEngine(words("Hello there")), log, SPEC, SAMPLING)
    yield chat
    chat.close()


def type_line(chat, line):
    call = parse(line)
    assert isinstance(call, Call), call
    return run(chat, call)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/etc/hosts is a file", "/etc/hosts is a file"),
        ("/usr", None),
        ("//comment", "/comment"),
        ("//help", "/help"),
        ("/ 5", "/ 5"),
        (" /help", " /help"),
        ("/", "/"),
        ("say /help", "say /help"),
        ("/6 is a fraction", "/6 is a fraction"),
        ("/länge 5", "/länge 5"),
        ("/etc-files are large", "/etc-files are large"),
        ("/-", "/-"),
    ],
)
def test_what_is_no_command_is_text_and_never_lost(line, text):
    told = parse(line)
    assert told == Text(text) if text else isinstance(told, Problem)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("/lenght 5", "/length"),
        ("/hlep", "/help"),
        ("/Temprature 1", "/temperature"),
        ("/top k 40", "/top_k"),
        ("/draft layers 12", "/draft_layers"),
        ("/KV Type q8_0", "/kv_type"),
        ("/top-k 40", "/top_k"),
        ("/flash-attention on", "/flash_attention"),
        ("/flash-attention", "/flash_attention"),
    ],
)
def test_a_near_miss_is_not_sent_and_names_the_command(line, meant):
    problem = parse(line)
    assert isinstance(problem, Problem)
    assert f"Did you mean {meant}?" in problem.sentence


@given(st.text())
def test_any_line_is_text_or_a_command_or_a_problem(line):
    told = parse(line)
    assert isinstance(told, Text | Call | Problem)
    if isinstance(told, Text):
        assert told.text in (line, line[1:])


@pytest.mark.parametrize("line", ["/LENGTH 100", "/length   100", "/length\t100 "])
def test_names_have_no_case_and_blanks_do_not_matter(chat, line):
    reply = type_line(chat, line)
    assert chat.sampling.length == 100
    assert reply.text == "length 512 → 100, from the next answer."
    assert chat.log.records[-1] == Setting("length", 100)


WRONG = ["0", "-1", "6.5", "1e9", "6 7", "six", "６", "1_0", "0x6", "nan", "inf", "10" * 9, "٦"]  # noqa: RUF001


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_number_changes_nothing_and_tells_range_and_value(chat, words):
    before = len(chat.log.records)
    reply = type_line(chat, f"/length {words}")
    assert not reply.ok
    assert "Now 512." in reply.text
    assert "\n" not in reply.text
    assert (chat.sampling, len(chat.log.records)) == (SAMPLING, before)


@pytest.mark.parametrize("words", ["-0.1", "nan", "inf", "1e1", "101", "hot", "1,5", "0.5 0.6"])
def test_a_wrong_fraction_is_refused_too(chat, words):
    assert not type_line(chat, f"/temperature {words}").ok
    assert chat.sampling == SAMPLING


def test_a_setting_without_a_value_tells_it(chat):
    reply = type_line(chat, "/length")
    assert reply.ok
    assert reply.text.startswith("length is 512; it takes a whole number from 1 to")


@pytest.mark.parametrize(("words", "seed"), [("42", 42), ("0", 0), ("random", None)])
def test_seed_takes_a_number_or_random(chat, words, seed):
    type_line(chat, "/seed 7")
    assert type_line(chat, f"/seed {words}").ok
    assert chat.sampling.seed == seed


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("greedy", Sampling()),
        ("greedy 1.0", Sampling()),
        ("multinomial 0.7", Sampling(temperature=0.7)),
        ("topk 0.8 40", Sampling(temperature=0.8, top_k=40)),
        ("nucleus 0.8 0.9", Sampling(temperature=0.8, top_p=0.9)),
        ("topknucleus 0.8 40 0.9", Sampling(temperature=0.8, top_k=40, top_p=0.9)),
    ],
)
def test_a_processor_sets_all_that_it_stands_for(chat, line, wanted):
    type_line(chat, "/min_p 0.3")
    assert type_line(chat, f"/processor {line}").ok
    assert chat.sampling == wanted


@pytest.mark.parametrize(
    "line", ["", "topk 0.8", "topk 0.8 0", "nucleus 0.8 2", "best", "topk x 3"]
)
def test_a_wrong_processor_is_told_its_form(chat, line):
    assert not type_line(chat, f"/processor {line}").ok
    assert chat.sampling == SAMPLING


def test_undo_gives_the_text_back_and_retry_sends_it_again(chat):
    list(chat.ask("first"))
    list(chat.ask("second\nline"))
    assert type_line(chat, "/undo").action == "prefill:second\nline"
    assert type_line(chat, "/retry").action == "send:first"
    assert chat.exchanges == []
    assert not type_line(chat, "/undo").ok
    assert not type_line(chat, "/retry").ok


@pytest.mark.parametrize("line", ["/undo", "/retry", "/clear", "/load x", "/save x"])
def test_what_changes_the_conversation_waits_for_the_answer(chat, line):
    events = chat.ask("hello")
    next(events)
    reply = type_line(chat, line)
    assert (reply.ok, reply.action) == (False, None)
    assert len(list(events)) > 0
    assert chat.exchanges[-1].answer == "Hello there"


def test_save_and_load_bring_the_conversation_back(chat):
    type_line(chat, "/system Be brief.")
    type_line(chat, "/length 9")
    list(chat.ask("hello"))
    assert type_line(chat, "/save first chat").ok
    said, path = chat.exchanges, chat.log.path
    assert path is not None
    assert path.name == "first chat.jsonl"
    chat.resume(Log.create(path.parent, header(SPEC, SAMPLING)))
    assert (chat.exchanges, chat.system) == ([], None)
    reply = type_line(chat, "/load first chat")
    assert reply.action == "reload"
    assert (chat.exchanges, chat.system, chat.sampling.length) == (said, "Be brief.", 9)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "-rf", "x\ty"])
@pytest.mark.parametrize("verb", ["save", "load"])
def test_a_name_that_is_none_is_refused_and_nothing_changes(chat, verb, name):
    list(chat.ask("hello"))
    path = chat.log.path
    assert not type_line(chat, f"/{verb} {name}").ok
    assert chat.log.path == path
    assert len(chat.exchanges) == 1


def test_load_of_a_near_name_suggests_it(chat):
    list(chat.ask("hello"))
    type_line(chat, "/save morning")
    assert "Did you mean morning?" in type_line(chat, "/load mornin").text


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each.example], ids=lambda c: c.name
)
def test_every_example_works(chat, command):
    list(chat.ask("hello"))
    type_line(chat, "/save first-chat")
    chat.resume(Log.create(chat.log.path.parent, header(SPEC, SAMPLING)))
    list(chat.ask("hello again"))
    assert type_line(chat, command.example).ok
