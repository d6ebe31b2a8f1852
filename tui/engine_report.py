"""What /engine says: what runs now, what it holds, and what else can run here."""

from __future__ import annotations

from collections.abc import Iterable

from ..engines.available import availability
from ..engines.events import Loaded, Model, Stop
from ..engines.options import Spec
from ..sessions import figures
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.gpu import Gpu


def engine_report(chat: Chat) -> str:
    loaded = next((each for each in reversed(chat.log.records) if isinstance(each, Loaded)), None)
    running = _running(chat, loaded) if loaded else ["The model is not loaded yet."]
    ready = [f"{each.name:14} {each.told}" for each in availability(Gpu().reasons.get("gpu", ""))]
    return "\n".join([*running, "", "Can run here:", *ready])


def _running(chat: Chat, loaded: Loaded) -> list[str]:
    spec, model = loaded.spec, loaded.model
    held = _memory(chat, loaded)
    memory = ", ".join(f"{one_line(name)} {figures.size(each)}" for name, each in held)
    return [
        f"model     {one_line(model.name)} · {one_line(model.architecture)}"
        f" · {figures.count(model.parameters)} parameters · file {one_line(model.quantization)}",
        f"engine    {spec.target} · {figures.weights(spec)} · {spec.device}"
        f" · {spec.threads} threads{_kernels(spec)}",
        f"method    {_method(chat)}",
        f"context   {spec.context} of {model.context} trained positions",
        f"memory    {memory}",
        f"loaded in {figures.duration(loaded.load_ns / 1e9)}",
        *(f"note      {one_line(note)}" for note in loaded.notes),
        f"hashes    weights {model.sha256[:12]} · template {model.template_sha256[:12]}"
        f" · stop ids {_ids(model)}",
    ]


def _kernels(spec: Spec) -> str:
    return " · our GPU kernels" if spec.triton == "on" else ""


def _method(chat: Chat) -> str:
    spec = chat.spec
    told = [figures.method(spec, chat.sampling.num_beams)]
    if spec.drafter in ("ngram", "chain"):
        told += [f"{spec.ngram_storage} n {spec.ngram_n}", f"filler {spec.top_k_filler}"]
    if spec.drafter in ("speculative", "chain"):
        told.append(f"drafts by {one_line(spec.draft_model)}")
    return " · ".join(told)


def _memory(chat: Chat, loaded: Loaded) -> Iterable[tuple[str, int]]:
    """As told at the end of the last answer, or when the model was loaded."""
    for record in reversed(chat.log.records):
        if isinstance(record, Stop) and record.memory:
            return record.memory.items()
        if record is loaded:
            break
    return loaded.memory.items()


def _ids(model: Model) -> str:
    return ", ".join(str(each) for each in model.stop_ids)
