"""The slash commands that swap the weights, what runs them and how they are held."""

from __future__ import annotations

from dataclasses import replace

from ...engines.available import KERNELS, availability
from ...engines.gguf_path import is_gguf
from ...engines.options import Spec, limits
from ...sessions.chat import Chat
from ...sessions.gpu import Gpu
from . import grammar
from .grammar import Command, Reply, Value
from .settings import change, setting


def llama(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """The model stays where llama.cpp can read it."""
    kept = chat.spec.model if is_gguf(chat.spec.model) else Spec().model
    wanted = {"target": "llamacpp", "model": values[0] if values else kept}
    return change(chat, {**wanted, "quantize": "none"})  # the file has its own


def model(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """llama.cpp stays only for what it can read."""
    if not values:
        about = limits(Spec, "model")["about"]
        return Reply(f"The model is {chat.spec.model}; it takes {about}. Example: /model smollm2")
    wanted = {"model": values[0]}
    if chat.spec.target == "llamacpp" and not is_gguf(str(values[0])):
        wanted["target"] = "auto"
    return change(chat, wanted)


def quantize(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """llama.cpp takes a GGUF as it is, so the choice of weights leads back to torch."""
    if values and values[0] != "none" and chat.spec.target == "llamacpp":
        return change(chat, {"target": "auto", "quantize": values[0]})
    return WEIGHTS.run(chat, values)


def triton(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if values and values[0] == "on":
        here = availability(Gpu().reasons.get("gpu", ""))
        ours = next(each for each in here if each.name == KERNELS)
        if not ours.ready:
            return Reply(f"Our kernels cannot run here: {ours.why}.", ok=False)
    return OURS.run(chat, values)


def runtime(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        about = limits(Spec, "target")["about"]
        return Reply(f"The runtime is {chat.spec.target}: {about}. Example: /runtime auto")
    return change(chat, {"target": values[0]})


WEIGHTS = setting(Spec, "quantize", "/quantize int8")
OURS = setting(Spec, "triton", "/triton off")

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
    replace(WEIGHTS, run=quantize),
    replace(OURS, run=triton),
    setting(Spec, "device", "/device cpu"),
    setting(Spec, "kv_type", "/kv_type q8_0"),
    setting(Spec, "flash_attention", "/flash_attention on"),
    setting(Spec, "gpu_layers", "/gpu_layers 0"),
)
