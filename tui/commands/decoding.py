"""The slash commands that swap the decoding method on the same weights."""

from __future__ import annotations

from dataclasses import replace

from ...engines.options import NGRAM_STORAGES, SELF, Sampling, Spec, limits
from ...sessions.chat import Chat
from . import grammar
from .grammar import Argument, ArgumentError, Command, Reply, Run, Value, whole
from .settings import change, setting

POLICIES = ("auto", "heuristic")


def method(name: str, summary: str, *aliases: str) -> Command:
    """A command that chooses the drafter `name` from the next answer on."""
    return Command(name, summary, _choose(name), aliases=aliases, example=f"/{name}")


def _choose(drafter: str) -> Run:
    def choose(chat: Chat, _: tuple[Value, ...]) -> Reply:
        return change(chat, {"drafter": drafter, "num_beams": 1})

    return choose


def gamma(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return Reply(f"gamma is {_gamma_now(chat)}; it takes {GAMMA.takes}. Example: /gamma 6")
    chosen = values[0]
    if isinstance(chosen, str):
        reply = change(chat, {"gamma_policy": chosen})
    else:
        reply = change(chat, {"gamma": chosen, "gamma_policy": "fixed"})
    if chat.spec.drafter == "plain":
        return replace(reply, text=f"{reply.text} Nothing drafts yet: /suffix, /ngram …")
    return reply


def _gamma_now(chat: Chat) -> str:
    spec = chat.spec
    return str(spec.gamma) if spec.gamma_policy == "fixed" else spec.gamma_policy


def beam(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        beams, top_k = chat.sampling.num_beams, chat.sampling.beam_top_k
        return Reply(
            f"num_beams is {beams}, top_k {top_k}. Example: /beam 4 3, and /beam 1 ends it."
        )
    names = ("num_beams", "beam_top_k")
    return change(chat, dict(zip(names, values, strict=False)))


def drafter(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return Reply(
            f"The draft model is {chat.spec.draft_model}, used by /speculative and /chain. "
            f"It takes {limits(Spec, 'draft_model')['about']}. Example: /drafter {SELF}"
        )
    return change(chat, {"draft_model": values[0]})


def ngram_storage(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        now = f"{chat.spec.ngram_storage} {chat.spec.ngram_n}"
        return Reply(f"The n-gram storage is {now}. Example: /ngram_storage basic 3")
    return change(chat, dict(zip(("ngram_storage", "ngram_n"), values, strict=False)))


def _gamma_argument() -> Argument:
    number = grammar.option(Spec, "gamma", "N", optional=True)
    takes = f"{number.takes}, auto or heuristic"

    def parse(text: str) -> Value:
        if text.lower() in POLICIES:
            return text.lower()
        try:
            return number.parse(text)
        except ArgumentError:
            raise ArgumentError(f"{takes}, not {text!r}") from None

    return Argument("N|auto|heuristic", takes, parse, POLICIES, optional=True)


GAMMA = _gamma_argument()

DECODING: tuple[Command, ...] = (
    Command(
        "autoregressive",
        "plain decoding, one token a pass",
        _choose("plain"),
        aliases=("target", "plain"),
        example="/autoregressive",
    ),
    method("speculative", "a draft model guesses, or the target's own first layers"),
    method("ngram", "a table of what followed the last tokens guesses"),
    method("lookup", "what followed the last tokens in the text before guesses"),
    method("suffix", "what followed the longest ending seen before guesses"),
    method("chain", "the n-gram table guesses, and the draft model where it has nothing"),
    Command(
        "beam",
        "search for the likeliest answer with N beams; 1 ends it",
        beam,
        (
            whole("N", 1, limits(Sampling, "num_beams")["high"], optional=True),
            whole("TOP_K", 1, limits(Sampling, "beam_top_k")["high"], optional=True),
        ),
        "/beam 4 3",
        now=lambda chat: str(chat.sampling.num_beams),
    ),
    setting(Sampling, "beam_min_length", "/beam_min_length 5"),
    setting(Sampling, "beam_alpha", "/beam_alpha 1.2"),
    Command(
        "gamma",
        "drafted tokens a step: a number, or what measured costs and acceptance say",
        gamma,
        (GAMMA,),
        "/gamma auto",
        now=_gamma_now,
    ),
    Command(
        "drafter",
        "the model that drafts for /speculative",
        drafter,
        (grammar.text("MODEL", limits(Spec, "draft_model")["about"], optional=True),),
        "/drafter self",
        now=lambda chat: chat.spec.draft_model,
    ),
    setting(Spec, "draft_layers", "/draft_layers 12"),
    Command(
        "ngram_storage",
        "which contexts an n-gram table knows, and its n",
        ngram_storage,
        (
            grammar.word("basic|onelevel", NGRAM_STORAGES, optional=True),
            grammar.option(Spec, "ngram_n", "N", optional=True),
        ),
        "/ngram_storage basic 3",
        aliases=("set_ngramstorage",),
        now=lambda chat: chat.spec.ngram_storage,
    ),
    setting(Spec, "top_k_filler", "/top_k_filler 3"),
    setting(Spec, "reset_in_between", "/reset_in_between off"),
)
