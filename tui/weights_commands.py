"""The slash commands that swap the weights, what runs them and how they are held."""

from __future__ import annotations

from ..engines.gguf_path import is_gguf
from ..engines.options import Spec, limits
from ..sessions.chat import Chat
from . import grammar
from .grammar import Command, Reply, Value
from .settings import change, setting


def llama(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """The model stays where llama.cpp can read it."""
    kept = chat.spec.model if is_gguf(chat.spec.model) else Spec().model
    return change(chat, {"target": "llamacpp", "model": values[0] if values else kept})


def model(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """llama.cpp stays only for what it can read."""
    if not values:
        about = limits(Spec, "model")["about"]
        return Reply(f"The model is {chat.spec.model}; it takes {about}. Example: /model smollm2")
    wanted = {"model": values[0]}
    if chat.spec.target == "llamacpp" and not is_gguf(str(values[0])):
        wanted["target"] = "auto"
    return change(chat, wanted)


def runtime(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        about = limits(Spec, "target")["about"]
        return Reply(f"The runtime is {chat.spec.target}: {about}. Example: /runtime auto")
    return change(chat, {"target": values[0]})


WEIGHTS_COMMANDS: tuple[Command, ...] = (
    Command(
        "model",
        "the weights: the included model, a GGUF file, a checkpoint folder or a hub id",
        model,
        (grammar.text("MODEL", limits(Spec, "model")["about"], optional=True),),
        "/model ~/models/other.gguf",
        now=lambda chat: chat.spec.model,
    ),
    Command(
        "llama",
        "llama.cpp runs this GGUF file, or the model that is loaded; /runtime auto ends it",
        llama,
        (grammar.text("FILE", "a .gguf file", optional=True),),
        "/llama ~/models/other.gguf",
        now=lambda chat: chat.spec.model,
    ),
    Command(
        "runtime",
        limits(Spec, "target")["about"],
        runtime,
        (
            grammar.word(
                "|".join(limits(Spec, "target")["names"]), limits(Spec, "target")["names"], True
            ),
        ),
        "/runtime auto",
        now=lambda chat: chat.spec.target,
    ),
    setting(Spec, "dtype", "/dtype bfloat16"),
    setting(Spec, "quantize", "/quantize int8"),
    setting(Spec, "triton", "/triton on"),
    setting(Spec, "device", "/device cpu"),
    setting(Spec, "kv_type", "/kv_type q8_0"),
    setting(Spec, "flash_attention", "/flash_attention on"),
    setting(Spec, "gpu_layers", "/gpu_layers 0"),
)
