"""/engine, and what the other commands answer while a server runs the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ...engines.events import Event, Loaded, Progress, Stop
from ...engines.options import Spec
from ...engines.remote_address import address_problem
from ...engines.remote_kinds import CHOICES, NEUTRAL, OWNERS, TRANSFORMERS, UNKNOWN, Kind
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.records import last_loaded
from ..headless.engine_report import engine_report
from . import grammar
from .grammar import Argument, ArgumentError, Command, Reply, Told, Value

HERE = "local"
KINDS = (*OWNERS.values(), TRANSFORMERS)
BACK = f"/engine {HERE} goes back to this machine."
NO_TOKENS = f"A server tells no token ids, so this needs weights on this machine. {BACK}"
# Commands, and the option whose launch flag decides what they would have changed.
AT_LAUNCH: Mapping[str, str] = {
    **dict.fromkeys(("autoregressive", "speculative", "ngram", "lookup", "suffix"), "drafter"),
    **dict.fromkeys(("chain", "drafter", "draft_layers", "ngram_storage"), "drafter"),
    **dict.fromkeys(("top_k_filler", "reset_in_between"), "drafter"),
    **dict.fromkeys(("llama", "runtime", "triton"), "target"),
    **{name: name for name in ("gamma", "dtype", "quantize", "kv_type", "flash_attention")},
    **{name: name for name in ("gpu_layers", "device", "threads", "context")},
}
# The names under which servers tell their own values, in the first note of Loaded.
_TOLD = {
    "drafter": "speculative_algorithm|speculative decoding",
    "gamma": "speculative_num_draft_tokens",
    "dtype": "dtype",
    "quantize": "quantization",
    "kv_type": "kv_cache_dtype",
}


def engine(chat: Chat, values: tuple[Value, ...]) -> Reply:
    """The settings change in the job: it may be refused, since it waits for the model."""
    if not values:
        return Reply(engine_report(chat), "show:engines:")
    if values[0] == HERE:
        wanted: dict[str, Value] = {"url": "", "model": _model_here(chat)}
    else:
        wanted = {"url": values[0], "model": values[1] if len(values) > 1 else Spec().model}
    return Reply("", job=lambda: _moved(chat, wanted))


def for_servers(commands: Sequence[Command]) -> tuple[Command, ...]:
    """`commands` that claim no change which a running server does not make."""
    return tuple(replace(each, run=partial(_run, each)) for each in commands)


def kind_of(chat: Chat) -> Kind | None:
    """Of the server that answers; None before anything was heard of it."""
    loaded = _loaded(chat)
    if loaded is None:
        return None
    told = "".join(loaded.notes[:1])
    return next((each for each in KINDS if told.startswith(each.name)), UNKNOWN)


def _moved(chat: Chat, wanted: Mapping[str, Value]) -> Told:
    for name, value in wanted.items():
        chat.set(name, value)
    event: Event | None = None
    for event in chat.load():
        if isinstance(event, Progress):
            yield event
    yield from _outcome(chat, event)


def _outcome(chat: Chat, event: Event | None) -> Iterator[str]:
    match event:
        case Loaded(model=model, spec=spec, notes=notes):
            where = spec.url or "this machine"
            yield "\n".join([f"{one_line(model.name)} on {where}.", *map(one_line, notes)])
        case Stop(reason="cancelled"):
            yield "Cancelled; the next message tries again."
        case Stop(what=what, remedy=remedy):
            told = one_line(f"{what} {remedy}".rstrip())
            yield f"{told} {BACK}" if chat.spec.url else told
        case _:
            pass


def _model_here(chat: Chat) -> str:
    """What this machine ran last."""
    loads = (each.spec for each in reversed(chat.log.records) if isinstance(each, Loaded))
    return next((each.model for each in loads if not each.url), Spec().model)


def _run(command: Command, chat: Chat, values: tuple[Value, ...]) -> Reply:
    problem = _problem(chat, command.name, values) if chat.spec.url else ""
    return Reply(problem, ok=False) if problem else command.run(chat, values)


def _problem(chat: Chat, name: str, values: tuple[Value, ...]) -> str:
    """Why the command does nothing on a server; "" where it does."""
    kind = kind_of(chat)
    if option := AT_LAUNCH.get(name):
        return _decided(name, option, kind, _own_value(_loaded(chat), option))
    if name in ("verify", "tune"):
        return NO_TOKENS
    if name.startswith("beam"):
        return f"A server takes no beam search from outside. {BACK}"
    picks = _picks(name, values)
    if kind and picks and picks not in kind.takes:
        return f"{_capital(kind)} takes no {picks} from outside: its own value holds."
    return ""


def _decided(name: str, option: str, kind: Kind | None, own: str) -> str:
    """In a sentence: not changeable, by which flag it is, and the server's own value."""
    flag = kind.flags.get(option) if kind else None
    who = _capital(kind) if kind else "The server"
    how = f", by {flag}" if flag else ""
    value = f"its own value is {own}" if own else "it does not tell its own value"
    return f"{who} decides what /{name} sets when it starts{how}; {value}. {BACK}"


def _own_value(loaded: Loaded | None, option: str) -> str:
    if loaded is None:
        return ""
    if option == "context":
        return f"{loaded.spec.context:,}" if loaded.spec.context else ""
    names = _TOLD.get(option)
    told = "".join(loaded.notes[:1])
    found = re.search(rf"(?: with|,) (?:{names}) ([^,]+?)(?:,|\.$)", told) if names else None
    return one_line(found[1]) if found else ""


def _picks(name: str, values: tuple[Value, ...]) -> str:
    """The option of Sampling that this call sets to more than nothing, of those that not every
    server takes."""
    if name == "processor":
        return "top_k" if str(values[0]).startswith("topk") else ""
    set_here = name in CHOICES and bool(values) and values[0] != getattr(NEUTRAL, name)
    return name if set_here else ""


def _loaded(chat: Chat) -> Loaded | None:
    found = last_loaded(chat.log.records)
    return found if found and found.spec.url == chat.spec.url else None


def _capital(kind: Kind) -> str:
    return "The server" if kind is UNKNOWN else kind.name


def _place(text: str) -> Value:
    if text.lower() == HERE:
        return HERE
    if problem := address_problem(text):
        raise ArgumentError(f"{PLACE}: an address {problem}")
    return text


PLACE = f"a server's address, or {HERE}"
REMOTE: tuple[Command, ...] = (
    Command(
        "engine",
        "what runs and what else can; with an address, a server answers from now on",
        engine,
        (
            Argument(f"URL|{HERE}", PLACE, _place, (HERE,), optional=True),
            grammar.text("MODEL", "the name of a model that the server has", optional=True),
        ),
        "/engine http://gpu1:8000",
        now=lambda chat: chat.spec.url or "this machine",
    ),
)
