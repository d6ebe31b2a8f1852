"""What /engine says: what runs now, what it holds, and what else can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...engines.available import availability, forms
from ...engines.events import Loaded, Model, Served, Stop
from ...engines.options import Spec
from ...sessions import figures
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.gpu import Gpu
from ...sessions.records import last_loaded

SERVER = f"{'a server':14} yes  any that speaks OpenAI's protocol: /engine URL"


def engine_report(chat: Chat) -> str:
    can_run = availability(Gpu().reasons.get("gpu", ""))
    ready = [f"{each.name:14} {each.told}" for each in can_run]
    held = [f"{each.name:14} {each.told}" for each in forms()]
    here = ["Can run here:", *ready, SERVER, "", "The weights, by /quantize:", *held]
    return "\n".join([*now_lines(chat), "", *here])


def now_lines(chat: Chat) -> Iterable[str]:
    """What was loaded last may be of another place than the one that answers next."""
    loaded = last_loaded(chat.log.records)
    if loaded is None or loaded.spec.url != chat.spec.url:
        where = f" by {chat.spec.url}" if chat.spec.url else ""
        return ["The model is not loaded yet" + where + "."]
    return _server(chat, loaded) if loaded.spec.url else _running(chat, loaded)


def _server(chat: Chat, loaded: Loaded) -> Iterator[str]:
    served = _served(chat, loaded)
    round_trip = f"{served.rtt_ns / 1e6:.2f} ms" if served and served.rtt_ns else figures.ABSENT
    yield f"model     {one_line(loaded.model.name)}"
    yield f"server    {one_line(loaded.spec.url)}"
    yield f"method    {figures.method(loaded.spec)}"
    yield f"context   {figures.count(loaded.spec.context)} positions"
    yield f"network   {round_trip} for a light request there and back"
    yield from (f"note      {one_line(note)}" for note in loaded.notes)
    for note in served.notes if served else ():
        yield f"{figures.ABSENT}         {one_line(note)}"
    yield f"{figures.ABSENT}         A server does not tell its weights' size, memory and hashes."


def _served(chat: Chat, loaded: Loaded) -> Served | None:
    """What was told of the last answer of this server."""
    for record in reversed(chat.log.records):
        if isinstance(record, Served):
            return record
        if record is loaded:
            break
    return None


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
