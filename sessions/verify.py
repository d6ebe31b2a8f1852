"""Whether a drafter changed the text: plain decoding and each drafter, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..engines.events import EngineError, Progress
from ..engines.options import DRAFTERS, Spec
from .chat import Chat
from .trials import Attempt, attempt, last_sampling

Verdict = Literal["identical", "near-tie", "different", "skipped"]
# How far the leads of two picks may be from zero where rounding alone made them differ: logits of
# one token and of several come from other kernels. llama.cpp and quantised weights round what they
# multiply too, to 8 bits or to bfloat16; llama.cpp's logits were seen to move by 0.5 to 3.9.
NEAR = {"float64": 1e-8, "float32": 0.01, "float16": 0.25, "bfloat16": 1.0}
NEAR_QUANTISED = 1.0
NEAR_LLAMACPP = 3.0


@dataclass(frozen=True, slots=True)
class Verified:
    """One drafter beside plain decoding."""

    drafter: str
    verdict: Verdict
    tokens: int = 0  # compared
    drafted: int = 0
    accepted: int = 0
    position: int | None = None  # of the first difference, from 0 in the answer
    margin: float | None = None  # the larger lead of the two picks there
    reason: str = ""  # why it was skipped


def verify(chat: Chat, drafters: Sequence[str] = DRAFTERS[1:]) -> Iterator[Progress | Verified]:
    """Answers the last message plain, then with each of `drafters` at a fixed γ, all with the same
    noise. Raises EngineError where plain decoding fails, and CancelledError."""
    sampling = last_sampling(chat)
    spec = replace(chat.spec, gamma_policy="fixed", reset_in_between="on")
    yield _progress("plain", 0, drafters)
    plain = attempt(chat, "verify", replace(spec, drafter="plain"), sampling, margins=True)
    for done, name in enumerate(drafters, start=1):
        yield _progress(name, done, drafters)
        try:
            drafted = attempt(chat, "verify", replace(spec, drafter=name), sampling, margins=True)
        except EngineError as error:
            yield Verified(name, "skipped", reason=str(error))
        else:
            yield compare(name, plain, drafted)


def _progress(name: str, done: int, drafters: Sequence[str]) -> Progress:
    return Progress(time.perf_counter_ns(), f"verifying {name}", done, len(drafters) + 1)


def compare(name: str, plain: Attempt, drafted: Attempt) -> Verified:
    counts = drafted.metrics.drafted, drafted.metrics.accepted
    pairs = enumerate(zip(plain.tokens, drafted.tokens, strict=False))
    place = next((at for at, (one, other) in pairs if one != other), None)
    if place is None:
        whole = len(plain.tokens) == len(drafted.tokens)
        return Verified(name, "identical" if whole else "different", len(drafted.tokens), *counts)
    lead = max(plain.margins[place], drafted.margins[place])
    near = lead <= _near(drafted.start.spec)
    return Verified(
        name, "near-tie" if near else "different", len(drafted.tokens), *counts, place, lead
    )


def _near(spec: Spec) -> float:
    if spec.target == "llamacpp":
        return NEAR_LLAMACPP
    return NEAR[spec.dtype] if spec.quantize == "none" else NEAR_QUANTISED
