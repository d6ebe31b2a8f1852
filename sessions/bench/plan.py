"""What an experiment runs: every case by every method, so often. All of it is kept in its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from ...engines.events import Message
from ...engines.options import WEIGHTS, Options, Sampling, Spec, from_record, to_record

Value = str | int | float | None
RUNS, WARMUP = 5, 3


@dataclass(frozen=True, slots=True)
class Case:
    """One message to be answered. What was said before it is a chain of cases, each with the answer
    that is fed as if it had been given."""

    name: str
    text: str
    after: int | None = None  # index of the case before it; None begins a conversation
    reply: str = ""  # fed to the cases after it
    system: str | None = None
    exact: int | None = None  # prompt tokens: see Request
    changes: dict[str, Value] = field(default_factory=dict)  # of the plan's options
    skip: bool = False  # is said, and not measured
    expected: str = ""  # what a right answer contains


@dataclass(frozen=True, slots=True)
class Method:
    """One way to answer every case: what it changes in the options."""

    name: str
    changes: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the cases, which are records of their own, are run. The first method is the one that
    others are measured against."""

    purpose: str  # "bench", "replay", "sweep", "compare"
    methods: tuple[Method, ...]
    spec: Spec
    sampling: Sampling
    runs: int = RUNS
    warmup: int = WARMUP
    swept: str = ""  # the setting that a sweep changes
    source: str = ""  # sha256 of the log or file that the cases come from
    model_sha256: str = ""  # of the weights that answered there
    template_sha256: str = ""


def options(plan: Plan, case: Case, method: Method) -> tuple[Spec, Sampling]:
    """Raises OptionError."""
    changes = case.changes | method.changes
    return _changed(plan.spec, changes), _changed(plan.sampling, changes)


def messages(cases: Sequence[Case], at: int) -> tuple[Message, ...]:
    """What the engine is asked in case `at`: all that was said before it and its own message."""
    chain: list[Message] = [Message("user", cases[at].text)]
    before = cases[at].after
    while before is not None:
        said = cases[before]
        chain += [Message("assistant", said.reply), Message("user", said.text)]
        before = said.after
    system = cases[at].system
    return (*([Message("system", system)] if system is not None else []), *reversed(chain))


def weights(spec: Spec) -> tuple[object, ...]:
    """All that a change of which makes the engine load anew."""
    return tuple(getattr(spec, name) for name in WEIGHTS)


def differences(base: Spec | Sampling, other: Spec | Sampling) -> dict[str, Value]:
    """The fields of `other` that are not as in `base`."""
    here, there = to_record(base), to_record(other)
    return {name: there[name] for name in here if here[name] != there[name]}


def _changed(base: Options, changes: Mapping[str, Value]) -> Options:
    own = {each.name for each in fields(base)}
    return from_record(
        type(base), to_record(base) | {name: changes[name] for name in own & changes.keys()}
    )
