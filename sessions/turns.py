"""Every number about one turn, each defined here once. Pure: no clock, and what is absent is None.

Names: t0 the request was accepted, t1 the first step that emitted a token, tN the last one, n the
tokens emitted. A step that emits nothing (a server's empty opening item) counts for nothing. Of a
server's answer t1 and tN are when the first and the last piece came in; how many tokens those were,
only the server can tell: a piece is not a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..engines.events import Reason, Served, Start, Stop

SECOND = 1_000_000_000


class Gap(NamedTuple):
    """The time between two steps, and what the later one emitted. Never holds the first token's."""

    ns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a token in a draft: how often one stood there, and how often it was kept."""

    drafted: int
    accepted: int

    @property
    def acceptance(self) -> float | None:
        return ratio(self.accepted, self.drafted)


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """One turn as counted so far; every rate is a property of the counts and times."""

    start: Start | None = None
    stop: Stop | None = None
    prefill_ns: int | None = None  # evaluation of the prompt began
    first_ns: int | None = None  # t1
    visible_ns: int | None = None  # the first text, which a split character delays
    last_ns: int | None = None  # tN
    served: Served | None = None  # what a server told of its answer
    tokens: int = 0  # n; 0 too where a server does not tell it: see completion_tokens
    first_tokens: int = 0  # of the step at t1
    passes: int = 0  # of the target that emitted something
    drafted: int = 0
    accepted: int = 0
    rejections: int | None = 0  # passes that corrected a draft
    positions: tuple[Position, ...] = ()
    gaps: tuple[Gap, ...] = ()
    live: float | None = None  # tokens/s over the last second before now
    peak: float | None = None  # the highest `live` at any step

    @property
    def reason(self) -> Reason | None:
        """None while the turn goes on."""
        return self.stop.reason if self.stop else None

    @property
    def finished(self) -> bool:
        return self.reason in ("stop", "length")

    @property
    def cancelled(self) -> bool:
        return self.reason == "cancelled"

    @property
    def cold(self) -> bool:
        return self.start is not None and self.start.cold

    @property
    def remote(self) -> bool:
        """A server answers, not this machine."""
        return self.start is not None and bool(self.start.spec.url)

    @property
    def completion_tokens(self) -> int | None:
        return None if self.remote and not self.tokens else self.tokens

    @property
    def prompt_tokens(self) -> int | None:
        if self.remote:
            return self.served.prompt_tokens if self.served else None
        return len(self.start.prompt) if self.start else None

    @property
    def cached_tokens(self) -> int | None:
        if self.remote:
            return self.served.cached_tokens if self.served else None
        return self.start.cached if self.start else None

    @property
    def evaluated_tokens(self) -> int | None:
        prompt, cached = self.prompt_tokens, self.cached_tokens
        return None if prompt is None or cached is None else prompt - cached

    @property
    def ttft_ns(self) -> int | None:
        """t1 - t0: to the first token id, seen or not."""
        return _since(self._started, self.first_ns)

    @property
    def adjusted_ttft_ns(self) -> int | None:
        """Of a server: TTFT without the network, a light request's way there and back."""
        rtt = self.served.rtt_ns if self.served else None
        return None if rtt is None else _since(rtt, self.ttft_ns)

    @property
    def first_visible_ns(self) -> int | None:
        return _since(self._started, self.visible_ns)

    @property
    def e2e_ns(self) -> int | None:
        """tN - t0."""
        return _since(self._started, self.last_ns)

    @property
    def decode_ns(self) -> int | None:
        """tN - t1, the time of `decode_tokens`."""
        return _since(self.first_ns, self.last_ns)

    @property
    def decode_tokens(self) -> int:
        """Those after the first step, which may emit several."""
        return self.tokens - self.first_tokens

    @property
    def prompt_ns(self) -> int | None:
        """The time of `evaluated_tokens`: from the first Prefill of 0 tokens (else t0) to t1. Of a
        server its own time to the first token, else the adjusted one: what it queued counts."""
        if self.remote:
            told = self.served.server_ttft_ns if self.served else None
            return self.adjusted_ttft_ns if told is None else told
        return _since(self._started if self.prefill_ns is None else self.prefill_ns, self.first_ns)

    @property
    def decode_rate(self) -> float | None:
        """Tokens/s after the first step."""
        return rate(self.decode_tokens, self.decode_ns)

    @property
    def e2e_rate(self) -> float | None:
        """Tokens/s over the whole turn, the wait for the first token included."""
        return rate(self.tokens, self.e2e_ns)

    @property
    def prefill_rate(self) -> float | None:
        """Evaluated prompt tokens/s; cached ones cost nothing and count for nothing."""
        return rate(self.evaluated_tokens, self.prompt_ns)

    @property
    def tpot_ns(self) -> float | None:
        """(E2E - TTFT) / (n - 1)."""
        return ratio(self.decode_ns, self.tokens - 1) or None

    @property
    def acceptance(self) -> float | None:
        """Accepted / drafted."""
        return ratio(self.accepted, self.drafted)

    @property
    def mean_accepted_length(self) -> float | None:
        """Tokens per pass of the target: 1 for plain decoding. Of a server, per pass that checked
        a draft: what was kept and the target's own token."""
        if self.remote and self.drafted:
            kept = ratio(self.accepted, self.passes)
            return None if kept is None else 1 + kept
        return ratio(self.tokens, self.passes)

    @property
    def token_acceptance(self) -> float | None:
        """The chance that one drafted token is kept given that those before it were: its maximum
        likelihood estimate. Unlike `acceptance` it does not fall as drafts grow."""
        if self.rejections is None:
            return None
        return ratio(self.accepted, self.accepted + self.rejections)

    @property
    def _started(self) -> int | None:
        return self.start.t_ns if self.start else None


def rate(tokens: int | None, ns: int | None) -> float | None:
    """Per second; None where either is absent or 0: nothing happened, or it took no time."""
    return tokens * SECOND / ns if tokens and ns else None


def ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole > 0 else None


def _since(begin: int | None, end: int | None) -> int | None:
    """None also where a clock ran backwards."""
    return end - begin if begin is not None and end is not None and end >= begin else None
