"""Where the time of a decode step goes: the clock, and the kernels that torch's profiler sees."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity

from ..kernels.bench.conditions import Effort
from ..kernels.bench.measure import COPIED, bandwidth, graph, measure, stopwatch
from .choosing import Target
from .drafters import Plain
from .loop import Fixed, decode
from .options import Sampling

ROUNDS = 3
TOP = 5
LAUNCHES = 1000
COPIED_ON_CPU = 1 << 28  # bytes: more than its caches hold, and quick enough
UNSEEN = "torch's profiler sees no kernel of what runs this model."
NO_LAUNCH = "A CPU's operators are called, not launched."
NO_WEIGHTS = "This target does not tell how many bytes of weights a step reads."


@dataclass(frozen=True, slots=True)
class Kernel:
    """All calls of one name in a step."""

    name: str
    calls: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Of a decode step, the mean over `steps` of them. A kernel is a launch on the device, copies
    included; on a CPU a call into torch, whatever it calls in turn. What can't be told is None,
    and `reasons` says why, by field."""

    device: str
    steps: int
    wall: tuple[float, ...]  # seconds a step, without the profiler: one for each round
    calls: float | None = None  # kernels a step
    summed: float | None = None  # their seconds a step
    busy: float | None = None  # seconds a step in which one ran at least: they may overlap
    top: tuple[Kernel, ...] = ()  # of most seconds
    launch: float | None = None  # seconds that launching an empty kernel takes the host ...
    launch_in_graph: float | None = None  # ... and the device, in a CUDA graph
    weights: int | None = None  # bytes that a step reads
    bandwidth: float | None = None  # bytes/s of a large copy, read and written bytes counted
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> float:
        """Seconds, the median of the rounds."""
        return median(self.wall)

    @property
    def utilisation(self) -> float | None:
        """Share of a step in which a kernel ran; above 1 where profiled rounds were slower."""
        return None if self.busy is None else self.busy / self.step

    @property
    def kernel_time(self) -> float | None:
        """Seconds of a kernel on average. It is no overhead: that is `launch`."""
        return self.summed / self.calls if self.summed is not None and self.calls else None

    @property
    def traffic(self) -> float | None:
        """An estimate: the share of a step that reading the weights takes at a copy's speed."""
        if self.weights is None or self.bandwidth is None:
            return None
        return self.weights / self.bandwidth / self.step


def profile(target: Target, prompt: Sequence[int], steps: int, device: str = "cpu") -> Profile:
    """Of plain greedy passes over one token each, after `prompt` (one token at least) and a
    warm-up; `device` is where the target runs, "cuda" or another. Rounds with the profiler and
    without take turns, and the clock reads those without: so what the profiler costs is in no
    step's time. It is in a kernel's only on a CPU, where an operator takes about a microsecond
    longer for each that it calls."""
    _round(target, prompt, steps)
    cuda = device == "cuda"
    wall, rounds = [], []
    for _ in range(ROUNDS):
        wall.append(_round(target, prompt, steps))
        rounds.append(_kernels(_profiled(target, prompt, steps, cuda), cuda))
    seen = sorted(rounds, key=_busy)[ROUNDS // 2]
    if not seen:
        names = ("calls", "busy", "launch", "traffic")
        return Profile(device, steps, tuple(wall), reasons=dict.fromkeys(names, UNSEEN))
    launch, in_graph = launch_overhead() if cuda else (None, None)
    weights: int | None = getattr(target, "weights_read", None)
    reasons = {} if cuda else {"launch": NO_LAUNCH}
    return Profile(
        device=device,
        steps=steps,
        wall=tuple(wall),
        calls=len(seen) / steps,
        summed=sum(map(_seconds, seen)) / steps,
        busy=_busy(seen) / steps,
        top=tuple(_by_name(seen, steps)[:TOP]),
        launch=launch,
        launch_in_graph=in_graph,
        weights=weights,
        bandwidth=bandwidth(device, stopwatch(device), COPIED if cuda else COPIED_ON_CPU) * 1e9,
        reasons=reasons if weights else reasons | {"traffic": NO_WEIGHTS},
    )


def launch_overhead() -> tuple[float, float]:
    """Seconds that one of many launches of an empty kernel takes: by the host, and replayed in a
    CUDA graph."""

    def empty(_: int = 0) -> None:
        torch.cuda._sleep(0)  # type: ignore[no-untyped-call]  # a kernel that waits no cycle

    def by_host() -> None:
        for _ in range(LAUNCHES):
            empty()

    effort, watch = Effort(20, 3), stopwatch("cuda")
    calls = (by_host, graph(empty, LAUNCHES))
    host, replayed = (measure(call, effort, watch, LAUNCHES).median_ms / 1e3 for call in calls)
    return host, replayed


def _round(target: Target, prompt: Sequence[int], steps: int) -> float:
    """Seconds a step."""
    _rewind(target, prompt)
    start = time.perf_counter_ns()
    _decode(target, prompt, steps)
    return (time.perf_counter_ns() - start) / 1e9 / steps


def _profiled(target: Target, prompt: Sequence[int], steps: int, cuda: bool) -> list[FunctionEvent]:
    activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    _rewind(target, prompt)
    with torch.profiler.profile(activities=[activity]) as profiler:
        _decode(target, prompt, steps)
    return list(profiler.events() or ())


def _rewind(target: Target, prompt: Sequence[int]) -> None:
    """All but the prompt's last token is held then, so each step of `_decode` is one token."""
    target.logits(prompt[:-1], 0)


def _decode(target: Target, prompt: Sequence[int], steps: int) -> None:
    for _ in decode(target, Plain(), prompt, Sampling(), Fixed(1), (), steps):
        pass


def _kernels(events: Sequence[FunctionEvent], cuda: bool) -> list[FunctionEvent]:
    """What ran on the device, a CUDA graph's kernels included; or the outermost operators, in
    whose time that of the others lies."""
    if cuda:
        launched = (each for each in events if each.device_type.name == "CUDA")
        return [each for each in launched if not each.name.endswith(" Sync")]  # those are waits
    return [each for each in events if not each.cpu_parent and "::" in each.name]


def _busy(kernels: Sequence[FunctionEvent]) -> float:
    """Seconds in which one of them ran at least."""
    total = reached = 0.0
    for start, end in sorted((each.time_range.start, each.time_range.end) for each in kernels):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1e6


def _by_name(kernels: Sequence[FunctionEvent], steps: int) -> list[Kernel]:
    """Most seconds first."""
    spent: dict[str, list[float]] = {}
    for each in kernels:
        spent.setdefault(each.name, []).append(_seconds(each))
    found = (Kernel(name, len(of) / steps, sum(of) / steps) for name, of in spent.items())
    return sorted(found, key=lambda each: -each.seconds)


def _seconds(kernel: FunctionEvent) -> float:
    return float(kernel.time_range.end - kernel.time_range.start) / 1e6
