"""What an engine says while it works. No event holds a rate: see sessions/metrics.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from .options import Sampling, Spec

Role = Literal["system", "user", "assistant"]
Reason = Literal["stop", "length", "cancelled", "error"]


class EngineError(Exception):
    """The one expected failure: `what` is wrong and the `remedy`, both shown to the person."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".rstrip()


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One turn: the whole conversation so far, ending with the user's message. Given `exact`, the
    prompt is that many ids: the last message as plain text, repeated and cut, in no template."""

    messages: tuple[Message, ...]
    spec: Spec
    sampling: Sampling
    margins: bool = False  # whether steps tell by how much each token won
    exact: int | None = None
    fresh: bool = False  # nothing is held of what came before: no cache, no learned drafts


@dataclass(frozen=True, slots=True)
class Scoring:
    """A text to be judged and not written: `answer` after `prompt`, both in token ids."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    spec: Spec


@dataclass(frozen=True, slots=True)
class Model:
    """What was loaded; everything a comparison must hold equal."""

    name: str
    path: str
    sha256: str  # of the weights file, or of the checkpoint's files in order
    architecture: str
    parameters: int
    quantization: str  # of the file on disk: "Q4_1", "F16", "none"
    vocabulary: int
    context: int  # positions the model was trained for
    template_sha256: str
    stop_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """A long step of loading: `done` of `total` units; total 0 means unknown."""

    t_ns: int
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model is ready; `spec` has every "auto" resolved, `memory` is bytes by component."""

    t_ns: int
    model: Model
    spec: Spec
    load_ns: int
    memory: dict[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """A request was accepted at `t_ns`; `spec` and `sampling` are the ones used."""

    t_ns: int
    prompt: tuple[int, ...]  # token ids, cached ones included
    cached: int  # leading prompt tokens whose keys and values were already held
    cold: bool  # first turn after a load: figures include one-off costs
    spec: Spec
    sampling: Sampling
    notes: tuple[str, ...] = ()  # what was done to the request, in sentences


@dataclass(frozen=True, slots=True)
class Prefill:
    """`done` of `total` uncached prompt tokens evaluated."""

    t_ns: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass of the target."""

    tokens: tuple[int, ...]  # emitted
    pieces: tuple[str, ...]  # their text, one a token; "" while a character is incomplete
    drafted: int  # proposed
    accepted: int  # drafted, kept and emitted
    t_ns: int  # monotonic, after the device has finished
    draft_ns: int | None = None  # time of the drafter ...
    pass_ns: int | None = None  # ... and of the target, picks included
    margins: tuple[float, ...] = ()  # lead of each token over the second choice, where asked for
    rejected: str = ""  # text of the drafts that were not kept


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a server's answer as it came in: of no token, one or several."""

    t_ns: int
    text: str
    tokens: int | None = None  # emitted so far, where the server counts along


@dataclass(frozen=True, slots=True)
class Served:
    """What a server tells of its answer. None is "does not tell", and `notes` say why."""

    t_ns: int
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    server_ttft_ns: int | None = None  # queue and prompt, by the server's own clock
    server_decode_ns: int | None = None
    drafted: int | None = None
    accepted: int | None = None
    spec_steps: int | None = None  # passes that checked a draft
    acceptance_histogram: tuple[int, ...] | None = None  # steps by how many tokens they accepted
    rtt_ns: int | None = None  # a light request's way there and back, when the server was opened
    source: str = ""  # where the counts come from
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What may follow the tokens emitted so far: the best beam, which a later step can change."""

    t_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Scored:
    """How likely a text was, in each place given all before it."""

    t_ns: int
    tokens: tuple[int, ...]
    surprisals: tuple[float, ...]  # -ln p of each at temperature 1
    best: tuple[int, ...]  # the likeliest token in each place


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading of the machine; None is "cannot be known here", never 0."""

    t_ns: int
    cpu_percent: float | None = None  # of the whole machine or container
    ram_used: int | None = None  # bytes, machine or container
    ram_total: int | None = None
    engine_rss: int | None = None  # bytes resident in the engine process
    gpu_percent: float | None = None
    vram_used: int | None = None  # bytes, whole device
    vram_total: int | None = None
    vram_engine: int | None = None  # bytes, the engine process alone
    engine_cpu_percent: float | None = None  # as cpu_percent, the engine process alone


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a request, always the last event."""

    t_ns: int
    reason: Reason
    tail: str = ""  # text of bytes still held when the answer was cut
    what: str = ""  # for "error": what is wrong ...
    remedy: str = ""  # ... and what to do
    memory: dict[str, int] | None = None  # bytes by component at the end


Event = (
    Progress | Loaded | Start | Prefill | Step | Chunk | Served | Preview | Scored | Sample | Stop
)


class Engine(Protocol):
    """Turns requests into events.

    `load` ends with Loaded, also where all is held already, or with Stop; the others end with
    Stop. They raise nothing that is expected: an EngineError becomes Stop("error"). `cancel` may
    be called from another thread (a generator that is running in one thread cannot be closed from
    another); the stream then ends with Stop("cancelled") after the current step.
    """

    @property
    def pid(self) -> int: ...  # of the process that holds the weights

    def load(self, spec: Spec) -> Iterator[Event]: ...

    def stream(self, request: Request) -> Iterator[Event]: ...

    def score(self, scoring: Scoring) -> Iterator[Event]: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...
