"""A server's streamed objects to events, and what they tell of the whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import inf
from typing import Any

from .events import Chunk, EngineError, Event, Prefill, Reason, Served
from .remote_counters import Counted
from .remote_faults import told, words
from .remote_figures import (
    as_count,
    as_dict,
    as_list,
    from_lm_studio,
    from_metrics,
    from_sglang,
    from_timings,
    from_usage,
    reconcile,
)
from .remote_kinds import Kind

THINKING = ("<think>\n", "\n</think>\n\n")  # around what a server takes out as reasoning
BLOCKS = {  # of an object; what a later one tells counts
    "usage": from_usage,
    "timings": from_timings,
    "metrics": from_metrics,
    "sglext": from_sglang,
    "stats": from_lm_studio,
}
NAMES = {  # of figures, in notes
    "completion_tokens": "the number of its tokens, so no rate is known",
    "cached_tokens": "cached prompt tokens",
    "server_ttft_ns": "its own times",
    "drafted": "drafts",
}


class Reading:
    """Folds one answer. `push` takes the data of one event; the last word on a figure counts, since
    some servers tell usage twice or along the way."""

    def __init__(self, kind: Kind, address: str, secret: str = "") -> None:
        self.reason: Reason | None = None
        self.done = False  # the server said that nothing follows
        self.completion: int | None = None
        self._kind = kind
        self._address, self._secret = address, secret
        self._figures: dict[str, Any] = {}
        self._sources: dict[str, None] = {}  # in the order in which they told something
        self._counted = 0
        self._thinking = False

    @property
    def whole(self) -> bool:
        """The answer has come to its end, whatever becomes of the connection."""
        return self.done or self.reason is not None

    def push(self, data: str, t_ns: int) -> Iterator[Event]:
        """Raises EngineError for an error in the stream and for what is no JSON object."""
        if data.strip() == "[DONE]":
            self.done = True
            return
        body = self._parsed(data)
        fault = body if body.get("object") == "error" else body.get("error")
        if fault:
            raise told(fault, self._address, self._secret)
        self._fold(body)
        progress = as_dict(body.get("prompt_progress"))
        if progress:
            yield from _prefill(progress, t_ns)
        for choice in as_list(body.get("choices"))[:1]:
            yield from self._chunk(as_dict(choice), t_ns)

    def served(self, t_ns: int, rtt_ns: int | None, counted: Counted) -> Served:
        """`counted` fills in what the stream did not tell."""
        found = dict(self._figures)
        notes, sources = list(counted.notes), [*self._sources]
        asked = [*self._kind.absent, "completion_tokens"]
        if counted.source or counted.notes:  # its counters have told of drafts, or why they do not
            asked = [name for name in asked if name != "drafted"]
        if more := {name: value for name, value in counted.figures.items() if name not in found}:
            found |= more
            sources.append(counted.source)
        reconcile(found)
        notes += [self._why(name) for name in NAMES if name in asked and name not in found]
        source = ", ".join(sources)
        return Served(t_ns, **found, rtt_ns=rtt_ns, source=source, notes=tuple(notes))

    def _parsed(self, data: str) -> dict[str, Any]:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise EngineError(
                f"The server sent what is no JSON object: {words(data[:40], self._secret)!r}.",
                "Send the message again; is a proxy in between?",
            )
        return body

    def _chunk(self, choice: dict[str, Any], t_ns: int) -> Iterator[Event]:
        text = self._text(choice)
        finish = choice.get("finish_reason")
        along = self._along()
        if isinstance(finish, str) and finish:
            self.reason = self._ended(finish)
        if text or finish or along is not None:
            yield Chunk(t_ns, text, along)

    def _along(self) -> int | None:
        """The running count, where it has grown."""
        grown = self.completion is not None and self.completion > self._counted
        self._counted = max(self._counted, self.completion or 0)
        return self._counted if grown else None

    def _text(self, choice: dict[str, Any]) -> str:
        delta = as_dict(choice.get("delta"))
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        said = delta.get("content") or choice.get("text")
        text = ""
        if isinstance(thought, str) and thought:
            text = thought if self._thinking else THINKING[0] + thought
            self._thinking = True
        if isinstance(said, str) and said:
            text += THINKING[1] + said if self._thinking else said
            self._thinking = False
        return text

    def _ended(self, finish: str) -> Reason:
        if finish in ("abort", "error"):
            raise EngineError("The server gave this answer up.", "Send the message again.")
        return "length" if finish == "length" else "stop"

    def _fold(self, body: dict[str, Any]) -> None:
        for name, figures in BLOCKS.items():
            self._note(name, figures(as_dict(body.get(name))))
        for choice in as_list(body.get("choices"))[:1]:
            each = as_dict(choice).get("avg_decoded_tokens_per_iter")
            if isinstance(each, int | float) and 1 <= each < inf and self.completion:
                self._note("iterations", {"spec_steps": round(self.completion / each)})

    def _note(self, source: str, found: dict[str, Any]) -> None:
        known = {name: value for name, value in found.items() if value is not None}
        if known:
            self._figures |= known
            self._sources[source] = None
            self.completion = self._figures.get("completion_tokens")

    def _why(self, name: str) -> str:
        flag = self._kind.absent.get(name)
        how = f": start it with {flag}" if flag else ""
        return f"{_capital(self._kind.name)} does not tell {NAMES[name]}{how}."


def _prefill(progress: dict[str, Any], t_ns: int) -> Iterator[Event]:
    total, cached, done = (as_count(progress.get(name)) for name in ("total", "cache", "processed"))
    if total is not None and done is not None:
        skipped = min(cached or 0, done, total)
        yield Prefill(t_ns, min(done, total) - skipped, total - skipped)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:] if name.startswith("a ") else name
