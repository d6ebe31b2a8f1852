"""Which γ is best for the last message: each is tried beside plain decoding."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from ..engines.events import EngineError, Progress, Start, Step
from .chat import Chat
from .costs import costs
from .summary import session_metrics
from .trials import Attempt, attempt, last_sampling

GAMMAS = (1, 2, 3, 4, 6, 8, 12, 16)
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Point:
    """What one γ did; speed-ups are against plain decoding of the same message in the same run."""

    gamma: int
    acceptance: float | None
    mean_accepted_length: float | None
    predicted: float | None
    measured: float | None
    decode_rate: float | None
    tokens: int  # of its longest answer


class Tuning:
    """Plain decoding and every γ in turn, ROUNDS times and in the other order each second time,
    after one warm-up."""

    def __init__(self, chat: Chat, gammas: Sequence[int] = GAMMAS) -> None:
        """Raises EngineError where there is no γ to be set."""
        if chat.spec.url:
            raise EngineError(
                "γ of a running server cannot be set from here.", "/engine tells its own."
            )
        if chat.spec.drafter == "plain":
            raise EngineError(
                "Plain decoding drafts nothing.", "Choose a drafter first, as /ngram."
            )
        self._chat = chat
        self._gammas = gammas
        self._runs: dict[int, list[Attempt]] = {n: [] for n in (0, *gammas)}

    def run(self) -> Iterator[Progress]:
        """Raises EngineError and CancelledError."""
        sampling = last_sampling(self._chat)
        spec = replace(self._chat.spec, gamma_policy="fixed", reset_in_between="on")
        specs = {n: replace(spec, gamma=n) for n in self._gammas}
        specs[0] = replace(spec, drafter="plain")
        order = [0, *(n for turn in range(ROUNDS) for n in [*self._runs][:: 1 - turn % 2 * 2])]
        for done, n in enumerate(order):
            yield Progress(time.perf_counter_ns(), f"γ {n}" if n else "plain", done, len(order))
            tried = attempt(self._chat, "tune", specs[n], sampling)
            self._runs[n] += [tried] if done else []  # the first is the warm-up

    @property
    def points(self) -> list[Point]:
        """What each γ did so far."""
        return [_point(n, self._runs[n], self._runs[0]) for n in self._gammas]


def tune(chat: Chat, gammas: Sequence[int] = GAMMAS) -> Generator[Progress, None, list[Point]]:
    """Raises EngineError and CancelledError."""
    tuning = Tuning(chat, gammas)
    yield from tuning.run()
    return tuning.points


def _point(gamma: int, runs: Sequence[Attempt], plain: Sequence[Attempt]) -> Point:
    whole = session_metrics(each.metrics for each in runs)
    base = session_metrics(each.metrics for each in plain).decode_rate
    plain_ns = costs(_events(plain)).plain_ns
    return Point(
        gamma,
        whole.acceptance,
        whole.mean_accepted_length,
        costs(_events(runs), plain_ns).predicted,
        whole.decode_rate / base if whole.decode_rate and base else None,
        whole.decode_rate,
        max((len(each.tokens) for each in runs), default=0),
    )


def _events(runs: Sequence[Attempt]) -> Iterator[Start | Step]:
    for each in runs:
        yield each.start
        yield from each.steps
