"""Swapping the decoding method by typing."""

from __future__ import annotations

import pytest

from tokenhud.engines.options import DRAFTERS, Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Reply

from .fakes import ScriptedEngine, words


@pytest.fixture
def chat() -> Chat:
    log = Log.in_memory(header(Spec(), Sampling()))
    return Chat(ScriptedEngine(words("An answer.")), log, Spec(), Sampling())


def typed(chat: Chat, line: str) -> Reply:
    call = commands.parse(line)
    assert isinstance(call, Call), call
    return commands.run(chat, call)


@pytest.mark.parametrize("name", DRAFTERS[1:])
def test_each_method_has_its_command_and_autoregressive_ends_it(chat, name):
    assert typed(chat, f"/{name}").text == f"drafter plain → {name}, from the next answer."
    assert chat.spec.drafter == name
    assert typed(chat, "/autoregressive").text == f"drafter {name} → plain, from the next answer."


@pytest.mark.parametrize("name", ["/target", "/plain", "/autoregressive", "/ngram", "/suffix"])
def test_a_method_ends_a_beam_search(chat, name):
    typed(chat, "/beam 4 2")
    assert (chat.sampling.num_beams, chat.sampling.beam_top_k) == (4, 2)
    assert "num_beams 4 → 1" in typed(chat, name).text
    assert chat.sampling.num_beams == 1


def test_gamma_takes_a_number_and_two_words(chat):
    assert typed(chat, "/gamma").text.startswith("gamma is auto; it takes a whole number")
    assert "gamma_policy auto → fixed" in typed(chat, "/gamma 6").text
    assert (chat.spec.gamma, chat.spec.gamma_policy) == (6, "fixed")
    assert "gamma_policy fixed → heuristic" in typed(chat, "/gamma heuristic").text
    typed(chat, "/gamma AUTO")
    assert (chat.spec.gamma, chat.spec.gamma_policy) == (6, "auto")
    refused = typed(chat, "/gamma often")
    assert not refused.ok
    assert "auto or heuristic, not 'often'" in refused.text
    assert not typed(chat, "/gamma 0").ok
    assert not typed(chat, "/gamma 65").ok


def test_gamma_tells_where_nothing_drafts(chat):
    assert "Nothing drafts yet" in typed(chat, "/gamma 6").text
    typed(chat, "/suffix")
    assert "Nothing drafts" not in typed(chat, "/gamma 5").text


def test_the_ngram_table_is_set_by_kind_and_n(chat):
    typed(chat, "/ngram_storage onelevel 4")
    assert (chat.spec.ngram_storage, chat.spec.ngram_n) == ("onelevel", 4)
    typed(chat, "/set_ngramstorage basic")
    assert (chat.spec.ngram_storage, chat.spec.ngram_n) == ("basic", 4)
    assert not typed(chat, "/ngram_storage basic 1").ok
    assert not typed(chat, "/ngram_storage twolevel").ok
    assert "basic 4" in typed(chat, "/ngram_storage").text
    assert typed(chat, "/top_k_filler 1").text == "top_k_filler 3 → 1, from the next answer."
    assert typed(chat, "/reset_in_between OFF").text.startswith("reset_in_between on → off")


def test_the_draft_model_is_named_or_the_target_itself(chat):
    assert "self" in typed(chat, "/drafter").text
    typed(chat, "/drafter /some folder/draft.gguf")
    assert chat.spec.draft_model == "/some folder/draft.gguf"
    typed(chat, "/draft_layers 9")
    typed(chat, "/drafter self")
    assert (chat.spec.draft_model, chat.spec.draft_layers) == ("self", 9)
    assert typed(chat, "/draft_layers auto").text == "draft_layers 9 → auto, from the next answer."


def test_beams_are_shown_and_bounded(chat):
    assert typed(chat, "/beam").text.startswith("num_beams is 1, top_k 3.")
    assert not typed(chat, "/beam 0").ok
    assert not typed(chat, "/beam 4 0").ok


def test_trials_wait_for_a_message_and_name_what_they_take(chat):
    for line in ("/verify", "/tune"):
        assert typed(chat, line).text.startswith("Nothing was sent yet")
    list(chat.ask("x"))
    assert not typed(chat, "/verify beam").ok
    assert not typed(chat, "/tune 2,none").ok
    assert not typed(chat, "/tune 0").ok
    job = typed(chat, "/tune 2,4").job
    assert job is not None
    assert list(job()) == ["Plain decoding drafts nothing. Choose a drafter first, as /ngram."]
