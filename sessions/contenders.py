"""All that may answer the last message here: every drafter on the weights in use, and every form of
the weights."""

from __future__ import annotations

from dataclasses import replace

from ..engines.options import DRAFTERS, Spec
from .bench.plan import Case, Method, Plan, differences
from .bench.runs import turn_case
from .chat import Chat
from .prompts import PROMPTS
from .quant import LENGTH, REFERENCE, forms
from .race import PROMPT
from .trials import last_sampling


def contest(chat: Chat) -> tuple[Plan, tuple[Case, ...]]:
    """Plain decoding on the weights in use is what the others are measured against."""
    sampling = last_sampling(chat)
    sampling = replace(sampling, length=min(sampling.length, LENGTH))
    base = replace(chat.spec, drafter="plain", reset_in_between="on")
    return Plan("compare", contenders(base), base, sampling), _last_message(chat)


def contenders(base: Spec) -> tuple[Method, ...]:
    drafters = [Method(name, {"drafter": name}) for name in DRAFTERS]
    changed = {kind: differences(base, form) for kind, form in forms(base).items()}
    held = [
        Method(base.dtype if kind == REFERENCE else kind, changes)
        for kind, changes in changed.items()
        if changes
    ]
    return (*drafters, *held)


def _last_message(chat: Chat) -> tuple[Case, ...]:
    """After all that was said before it."""
    if not chat.exchanges:
        return (Case(PROMPT, PROMPTS[PROMPT], system=chat.system),)
    *before, last = chat.exchanges
    said = [each for each in before if each.answer]
    chain = [
        Case(turn_case(each.turn_id), each.user, at - 1 if at else None, each.answer, skip=True)
        for at, each in enumerate(said)
    ]
    after = len(said) - 1 if said else None
    return (*chain, Case(turn_case(last.turn_id), last.user, after, system=chat.system))
