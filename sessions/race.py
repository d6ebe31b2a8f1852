"""Two methods answer one message on the same weights, in turns, so that neither disturbs the
other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..engines.events import EngineError, Message, Progress, Request
from ..engines.options import OptionError, Sampling, Spec
from .bench.methods import methods
from .bench.plan import Case, Plan, options, weights
from .chat import Chat
from .prompts import PROMPTS
from .records import Trial
from .trials import ended, last_sampling

PURPOSE = "race"  # of its trials
ROUNDS = 6  # in each both answer
LENGTH = 128  # most tokens of an answer
PROMPT = "code"  # where nothing was sent yet


@dataclass(frozen=True, slots=True)
class Race:
    """The second method is measured against the first."""

    names: tuple[str, str]
    specs: tuple[Spec, Spec]
    sampling: Sampling
    asked: tuple[Message, ...]
    turn_id: int | None  # of the message, where it is the chat's
    rounds: int = ROUNDS


def race_between(chat: Chat, texts: Sequence[str], rounds: int = ROUNDS) -> Race:
    """Of two methods as people write them. Raises EngineError where they aren't two, or would not
    run on the weights in use with the settings of the last answer."""
    if len(texts) != 2:
        raise EngineError("A race is between two methods.", "Use: /race plain, suffix")
    sampling = last_sampling(chat)
    sampling = replace(sampling, length=min(sampling.length, LENGTH))
    plan = Plan(PURPOSE, methods(texts), replace(chat.spec, reset_in_between="on"), sampling)
    one, other = plan.methods
    last = chat.exchanges[-1].turn_id if chat.exchanges else None
    return Race(
        (one.name, other.name),
        (_spec(plan, 0), _spec(plan, 1)),
        sampling,
        _question(chat),
        last,
        rounds,
    )


def run_race(chat: Chat, race: Race) -> Iterator[Progress]:
    """A warm-up of each, which tells the leads of its picks, then the rounds, each second one in
    the other order. All is in the chat's log. Raises EngineError and CancelledError."""
    order = [(0, 0), (1, 0)]
    for number in range(1, race.rounds + 1):
        order += [(0, number), (1, number)][:: 1 if number % 2 else -1]
    for done, (which, number) in enumerate(order):
        name = race.names[which]
        stage = f"{name} · round {number}" if number else f"{name} · warm-up"
        yield Progress(time.perf_counter_ns(), stage, done, len(order))
        trial = Trial(PURPOSE, race.turn_id, method=name, run=number, warmup=not number)
        request = Request(race.asked, race.specs[which], race.sampling, margins=not number)
        ended(chat.beside(trial, request))


def _spec(plan: Plan, which: int) -> Spec:
    method = plan.methods[which]
    try:
        spec, sampling = options(plan, Case("", ""), method)
    except OptionError as error:
        raise EngineError(str(error), f"It was {method.name}.") from None
    if weights(spec) != weights(plan.spec):
        names = ", ".join(each.name for each in plan.methods)
        raise EngineError(
            f"A race is on the weights in use, and {method.name} loads others.",
            f"/compare {names} loads one after the other.",
        )
    if sampling != plan.sampling:
        raise EngineError(
            f"A race is with the same settings of words and length, and {method.name} has others.",
            "Set them before the race.",
        )
    return spec


def _question(chat: Chat) -> tuple[Message, ...]:
    if chat.exchanges:
        return chat.messages()
    return (*chat.messages(), Message("user", PROMPTS[PROMPT]))
