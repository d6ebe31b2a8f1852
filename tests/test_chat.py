from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError, Sample
from tokenhud.engines.options import OptionError, Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.conversation import conversation
from tokenhud.sessions.log import Log
from tokenhud.sessions.records import Header, Setting

from .fakes import ScriptedEngine, words


def open_chat(*scripts):
    log = Log.in_memory(header(Spec(), Sampling()))
    return Chat(ScriptedEngine(*scripts), log, Spec(), Sampling())


def said(chat):
    return [(message.role, message.content) for message in chat.engine.requests[-1].messages]


def test_each_request_holds_the_conversation_so_far():
    chat = open_chat(words("one"), words("two"))
    chat.set("system", "Be brief.")
    list(chat.ask("first"))
    list(chat.ask("second"))
    assert said(chat) == [
        ("system", "Be brief."),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
    ]


def test_a_cancelled_answer_keeps_its_text_and_the_conversation_goes_on():
    chat = open_chat(words("some words that are cut"))
    for event in chat.ask("first"):
        if type(event).__name__ == "Step" and len(chat.exchanges[-1].pieces) == 2:
            chat.cancel()
    assert (chat.exchanges[-1].reason, chat.exchanges[-1].answer) == ("cancelled", "some words")
    list(chat.ask("second"))
    assert said(chat)[1] == ("assistant", "some words")


def test_a_message_that_brought_no_text_is_not_sent_again():
    chat = open_chat([EngineError("Too long.", "Shorten.")], words("fine"))
    list(chat.ask("a very long message"))
    assert chat.exchanges[-1].reason == "error"
    list(chat.ask("short"))
    assert said(chat) == [("user", "short")]


def test_the_next_answer_waits_on_nothing_that_a_reader_left_behind():
    chat = open_chat(words("a b c"))
    events = chat.ask("x")
    next(events)
    assert chat.busy
    list(events)
    assert not chat.busy


def test_a_setting_out_of_range_changes_and_logs_nothing():
    chat = open_chat()
    before = len(chat.log.records)
    for name, value in (("length", 0), ("temperature", "hot"), ("colour", 1), ("system", 3)):
        with pytest.raises(OptionError):
            chat.set(name, value)
    assert (chat.sampling, len(chat.log.records)) == (Sampling(), before)


def test_readings_are_logged_only_while_an_answer_is_on_its_way():
    chat = open_chat(words("a b"))
    chat.observe(Sample(1))
    events = chat.ask("x")
    next(events)
    chat.observe(Sample(2))
    list(events)
    chat.observe(Sample(3))
    assert [r.t_ns for r in chat.log.records if isinstance(r, Sample)] == [2]
    assert chat.sample == Sample(3)


def test_resuming_keeps_the_model_in_use_and_tells_it_in_a_new_header(tmp_path):
    spec = Spec(model="/somebody/elses.gguf", gamma=7)
    log = Log.create(tmp_path, header(spec, Sampling(length=9)))
    first = Chat(ScriptedEngine(words("one")), log, spec, Sampling(length=9))
    list(first.ask("hello"))
    path = log.path
    first.close()
    chat = open_chat(words("two"))
    chat.resume(Log.open(path))
    assert (chat.spec.model, chat.spec.gamma, chat.sampling.length) == ("smollm2", 7, 9)
    assert isinstance(chat.log.records[-1], Header)
    list(chat.ask("more"))
    assert said(chat) == [("user", "hello"), ("assistant", "one"), ("user", "more")]
    assert [each.turn_id for each in chat.exchanges] == [1, 2]
    chat.close()


actions = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.text(min_size=1)),
        st.tuples(st.just("set"), st.integers(1, 99)),
        st.tuples(st.sampled_from(["undo", "clear"]), st.none()),
    ),
    max_size=12,
)


@given(actions)
def test_the_records_amount_to_the_conversation_they_came_from(steps):
    chat = open_chat(words("an answer"), words("another"))
    for verb, value in steps:
        if verb == "ask":
            list(chat.ask(value))
        elif verb == "set":
            chat.set("length", value)
        else:
            getattr(chat, verb)()
    told = conversation(chat.log.records, Spec(), Sampling())
    assert told.exchanges == chat.exchanges
    assert told.sampling == chat.sampling


def test_a_log_that_ends_in_mid_answer_counts_it_as_cancelled():
    chat = open_chat(words("an answer that is cut off"))
    events = chat.ask("hello")
    while not chat.exchanges or len(chat.exchanges[-1].pieces) < 3:
        next(events)
    told = conversation([*chat.log.records, Setting("length", 5)], Spec(), Sampling())
    assert (told.exchanges[-1].reason, told.exchanges[-1].answer) == ("cancelled", "an answer that")


def test_an_answer_that_its_reader_leaves_is_closed_as_cancelled():
    chat = open_chat(words("a b c d"), words("fine"))
    events = chat.ask("x")
    while len(chat.exchanges[-1].pieces if chat.exchanges else []) < 2:
        next(events)
    events.close()
    assert (chat.busy, chat.exchanges[-1].reason) == (False, "cancelled")
    list(chat.ask("y"))
    assert chat.exchanges[-1].answer == "fine"
