"""Swapping the weights and what runs them by typing."""

from __future__ import annotations

import pytest

from tokenhud.engines.available import KERNELS, Availability
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log
from tokenhud.tui.commands import grammar
from tokenhud.tui.commands.grammar import Call, Reply
from tokenhud.tui.commands.weights import WEIGHTS_COMMANDS

from .fakes import ScriptedEngine, words


@pytest.fixture
def chat() -> Chat:
    log = Log.in_memory(header(Spec(), Sampling()))
    return Chat(ScriptedEngine(words("An answer.")), log, Spec(), Sampling())


def typed(chat: Chat, line: str) -> Reply:
    call = grammar.parse(line, WEIGHTS_COMMANDS)
    assert isinstance(call, Call), call
    return grammar.run(chat, call)


def test_llama_alone_keeps_a_gguf_and_runtime_leads_back(chat):
    assert typed(chat, "/llama").text == "target auto → llamacpp, from the next answer."
    assert chat.spec.model == "smollm2"
    assert typed(chat, "/runtime auto").text == "target llamacpp → auto, from the next answer."
    typed(chat, "/model org/name")
    told = typed(chat, "/llama").text
    assert told == "target auto → llamacpp, model org/name → smollm2, from the next answer."


def test_llama_takes_a_file_spaces_and_all(chat):
    typed(chat, "/llama /models/a file.gguf")
    assert (chat.spec.target, chat.spec.model) == ("llamacpp", "/models/a file.gguf")
    typed(chat, "/llama")
    assert chat.spec.model == "/models/a file.gguf"


def test_a_model_that_llama_cpp_cannot_read_takes_the_runtime_back(chat):
    typed(chat, "/llama")
    typed(chat, "/model ~nobody/other.gguf")
    assert chat.spec.target == "llamacpp"
    told = typed(chat, "/model org/name").text
    assert "target llamacpp → auto" in told
    assert chat.spec.target == "auto"


def test_each_shows_what_holds(chat):
    typed(chat, "/llama a.gguf")
    assert "The model is a.gguf" in typed(chat, "/model").text
    assert "The runtime is llamacpp" in typed(chat, "/runtime").text


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("/kv_type q8_0", "kv_type", "q8_0"),
        ("/flash_attention on", "flash_attention", "on"),
        ("/gpu_layers 12", "gpu_layers", 12),
        ("/gpu_layers auto", "gpu_layers", None),
        ("/dtype bfloat16", "dtype", "bfloat16"),
        ("/device cpu", "device", "cpu"),
    ],
)
def test_what_holds_the_weights_is_an_option_each(chat, line, field, value):
    assert typed(chat, line).ok
    assert getattr(chat.spec, field) == value


@pytest.mark.parametrize("line", ["/runtime torch", "/kv_type q9", "/gpu_layers -1"])
def test_what_is_no_value_is_refused_and_changes_nothing(chat, line):
    assert not typed(chat, line).ok
    assert chat.spec == Spec()


def test_llama_and_quantised_torch_weights_take_turns(chat):
    assert typed(chat, "/quantize int8").text == "quantize none → int8, from the next answer."
    told = typed(chat, "/llama").text
    assert told == "target auto → llamacpp, quantize int8 → none, from the next answer."
    told = typed(chat, "/quantize nf4").text
    assert told == "target llamacpp → auto, quantize none → nf4, from the next answer."


def test_our_kernels_are_refused_at_once_where_they_cannot_run(chat, monkeypatch):
    absent = [Availability(KERNELS, False, "no device")]
    monkeypatch.setattr("tokenhud.tui.commands.weights.availability", lambda _: absent)
    refused = typed(chat, "/triton on")
    assert (refused.ok, refused.text) == (False, "Our kernels cannot run here: no device.")
    assert chat.spec.triton == "auto"
    assert typed(chat, "/triton off").text == "triton auto → off, from the next answer."
