"""What pictures of the screens show, the same on every machine and day: an engine whose answers
depend on what it is asked alone, saved sessions, kept results, and what lies around."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from tokenhud.engines.available import KERNELS, Availability
from tokenhud.engines.events import Event, Request, Sample
from tokenhud.engines.models_here import ModelHere
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.asking import benchmark
from tokenhud.sessions.bench.experiment import Experiment
from tokenhud.sessions.bench.folder import begin
from tokenhud.sessions.chat import Chat
from tokenhud.sessions.known import Around
from tokenhud.sessions.log import Log
from tokenhud.sessions.records import Header

from .fakes import Beat, ScriptedEngine, pieces, words
from .saved import save, turn

GIB = 1 << 30
READING = Sample(0, 87.0, int(3.1 * GIB), int(7.8 * GIB), 612 << 20)
MACHINE = {
    "cpu": {"name": "An eight-core processor", "usable": 8.0},
    "gpu": {},
    "ram_total": 16 * GIB,
    "system": "Linux",
    "machine": "x86_64",
    "python_version": "3.12.1",
}
CREATED = "2026-03-02T14:05:06.000+01:00"
NEWEST = 1_772_456_706  # the same moment, in seconds since the epoch
ANSWER = """A *draft* proposes tokens and the **target** checks them, see `list[int]`.

1. Draft some tokens with a cheap model.
2. Keep the longest prefix that agrees.

```python
def decode(tokens: list[int]) -> list[int]:
    return target.check(tokens, drafter.propose(tokens, 4))
```

| method | tok/s |
|:--|--:|
| plain | 20.1 |
| 日本語 | 41.2 |

Each pass of the target so gives one token or several, and the words stay the same."""
BRIEF = "A cheap model guesses, the large one checks all guesses in one pass."
ANSWERS = {"Hello.": "Hello there.", "How does it work?": BRIEF}
KEPT = {"suffix": (4, 2, 0, 4, 3, 1), "ngram": (1, 0, 2, 1), "speculative": (3, 2, 4, 2)}
COST = {"plain": 45.0, "suffix": 58.0, "ngram": 54.0, "speculative": 95.0}  # ms a step


class Talker(ScriptedEngine):
    """Says the same words by every method, each at its own pace."""

    hold = 0  # the number of the request that stops in its middle until `go` is set

    def stream(self, request: Request) -> Iterator[Event]:
        answer = ANSWERS.get(request.messages[-1].content, ANSWER)
        number = len(self.requests) + 1
        beats = _beats(answer, request.spec.drafter, number)
        if number == self.hold:
            middle = len(beats) // 2
            beats[middle] = replace(beats[middle], wait=True)
        self._scripts = [beats]
        return super().stream(request)

    def now(self) -> int:
        return self._now

    def pass_time(self, seconds: int) -> None:
        self._sleep(1000 * seconds)


def talk(home: Path) -> Chat:
    """A chat of a machine that is nobody's."""
    spec, sampling = Spec(gamma=4, gamma_policy="fixed"), Sampling()
    log = Log.create(home / "sessions", head(spec, sampling))
    log.append(READING)
    return Chat(Talker(), log, spec, sampling)


def head(spec: Spec, sampling: Sampling, created: str = CREATED) -> Header:
    return Header(1, created, "1.0", {"machine_info": MACHINE}, spec, sampling)


def furnish(home: Path) -> None:
    """Puts saved sessions and kept results there."""
    told = (
        ("speculative decoding", "How does it work?", BRIEF, "suffix"),
        ("日本語の練習", "日本語で挨拶してください。", "こんにちは。 お元気ですか。", "plain"),
        ("a name that is much longer than a column", "Why is the sky blue?", ANSWER, "ngram"),
        ("reading list", "What should I read next?", "Something short.", "speculative"),
    )
    for age, (name, asked, answer, drafter) in enumerate(told):
        used = Spec(threads=8, drafter=drafter)
        turns = (turn(1, "Hello.", ["Hello", " there."]), turn(2, asked, pieces(answer), used))
        path = save(home / "sessions", name, *turns)
        os.utime(path, (NEWEST - age * 90_000,) * 2)
    results = home / "results"
    _measure(results / "2026-03-02_14-05-06_bench", CREATED, ["plain", "suffix", "ngram"])
    _measure(results / "before", CREATED.replace("-02T", "-01T"), ["plain", "suffix"])
    (results / "nothing in it").mkdir()


def _measure(folder: Path, created: str, methods: list[str]) -> None:
    plan, cases = benchmark(["code", "rewrite"], (), methods, Spec(threads=8), Sampling())
    plan = replace(plan, runs=3, warmup=1)
    begun = begin(folder, lambda: head(plan.spec, plan.sampling, created), plan, cases)
    for _ in Experiment(Talker(), plan, cases, begun.recorder.append).run():
        pass
    begun.recorder.close()


def _beats(answer: str, drafter: str, number: int) -> list[Beat]:
    """A little slower from one answer to the next and the one after, as machines are."""
    slower = number % 3
    if drafter == "plain":
        return words(answer, COST[drafter] + slower)
    left, beats = pieces(answer), []
    for accepted in cycle(KEPT[drafter]):
        said, left = tuple(left[: accepted + 1]), left[accepted + 1 :]
        beats.append(Beat(said, 4, accepted, COST[drafter] + slower + len(said)))
        if not left:
            return beats
    raise AssertionError("a cycle never ends")


AROUND = Around(
    runtimes=[
        Availability("native cpu", True, "torch 2.9.0"),
        Availability("native cuda", False, "no NVIDIA device: NVML Shared Library Not Found"),
        Availability(KERNELS, False, "Triton is missing", "pip install 'tokenhud[triton]'"),
        Availability("hf", True, "transformers 5.0.0"),
        Availability("llamacpp", True, "llama-cpp-python 0.3.16, built for cpu"),
    ],
    forms=[
        Availability("none", True, "as they are in the file, in the format of /dtype"),
        Availability("bf16", True, "half the bytes of float32"),
        Availability("int8", True, "a quarter of the bytes; a scale a row"),
        Availability("nf4", False, "bitsandbytes is missing", "pip install 'tokenhud[bnb]'"),
    ],
    models=[
        ModelHere("embedded", "SmolLM2-135M", "GGUF Q4_1", 96_600_000, 134_515_008, True),
        ModelHere("~/models/q.gguf", "Qwen2.5-1.5B-Q4_1", "GGUF Q4_1", GIB, 1_543_714_304, True),
    ],
    measured=[],
    servers=["http://gpu1:8000"],
    memory=16 * GIB,
    cpus=8.0,
    gpu=False,
)
