"""tokenhud for programs and notebooks: no terminal, no screen. docs/api.md shows it in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .engines.events import EngineError, Stop
from .engines.finishing import finished
from .engines.options import Sampling, Spec, from_record
from .engines.process import ProcessEngine
from .sessions.bench.apart import Apart
from .sessions.bench.asking import benchmark, replay_plan
from .sessions.bench.chart import Chart
from .sessions.bench.charts import charts
from .sessions.bench.comparison import Comparison, beside, compare
from .sessions.bench.draw_file import draw_file
from .sessions.bench.draw_text import draw_text
from .sessions.bench.experiment import Told
from .sessions.bench.folder import new_name
from .sessions.bench.plan import RUNS, WARMUP, Case, Plan
from .sessions.bench.record import result_record
from .sessions.bench.result import Result, read_result
from .sessions.bench.running import run_plan
from .sessions.bench.scenarios import USUAL
from .sessions.bench.statistics import ratio, summarise
from .sessions.bench.tables import as_markdown, tables
from .sessions.chat import Chat, header
from .sessions.log import Log
from .sessions.metrics import turn_metrics
from .sessions.summary import split_turns
from .sessions.turns import TurnMetrics

__all__ = [
    "Answer",
    "Chart",
    "Chat",
    "Comparison",
    "EngineError",
    "Result",
    "Sampling",
    "Spec",
    "as_markdown",
    "ask",
    "bench",
    "beside",
    "charts",
    "compare",
    "draw_file",
    "draw_text",
    "open_chat",
    "ratio",
    "read",
    "replay",
    "result_record",
    "summarise",
    "sweep",
    "tables",
]

Watch = Callable[[Told], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, and its figures."""

    text: str
    metrics: TurnMetrics


def open_chat(log: Path | str | None = None, system: str | None = None, **settings: Any) -> Chat:
    """A chat on an engine process of its own, its weights loaded; `settings` are fields of Spec and
    Sampling. Use it in a `with`, which gives the memory back. Raises OptionError, and EngineError
    where the weights can't be loaded or `log` not be written."""
    spec, sampling = _split(settings)
    kept = Log.in_memory(header(spec, sampling))
    if log:
        kept.save_as(Path(log).absolute())
    chat = Chat(ProcessEngine(), kept, spec, sampling)
    if system is not None:
        chat.set("system", system)
    *_, last = chat.load()
    if isinstance(last, Stop):
        chat.close()
        raise EngineError(last.what, last.remedy)
    return chat


def ask(chat: Chat, text: str) -> Answer:
    """Raises EngineError where the answer failed."""
    *_, last = chat.ask(text)
    if isinstance(last, Stop) and last.reason == "error":
        raise EngineError(last.what, last.remedy)
    turn = split_turns(chat.log.records)[-1]
    return Answer(chat.exchanges[-1].answer, turn_metrics(turn.events))


def bench(
    prompts: Sequence[str] = (),
    methods: Sequence[str] = (),
    *,
    exact: Sequence[tuple[int, int]] = (),
    runs: int = RUNS,
    warmup: int = WARMUP,
    out: Path | str | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Result:
    """As `tokenhud bench`; `watch` is told every event. Raises EngineError."""
    spec, sampling = _split({**USUAL, **settings})
    plan, cases = benchmark(prompts, exact, methods, spec, sampling)
    return _run(replace(plan, runs=runs, warmup=warmup), cases, out, watch)


def sweep(
    name: str,
    values: Sequence[object],
    prompts: Sequence[str] = (),
    *,
    methods: Sequence[str] = (),
    runs: int = RUNS,
    warmup: int = WARMUP,
    out: Path | str | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Result:
    """As `tokenhud bench sweep`: a method for each value of one setting. Raises EngineError."""
    spec, sampling = _split({**USUAL, **settings})
    setting = name, ",".join(map(str, values))
    plan, cases = benchmark(prompts, (), methods, spec, sampling, setting=setting)
    return _run(replace(plan, runs=runs, warmup=warmup), cases, out, watch)


def read(path: Path | str) -> Result:
    """A result folder, its raw log, or a chat's log. Raises EngineError."""
    return read_result(Path(path))


def replay(
    log: Path | str,
    methods: Sequence[str] = (),
    *,
    runs: int = RUNS,
    warmup: int = WARMUP,
    out: Path | str | None = None,
    watch: Watch | None = None,
    **changes: Any,
) -> Result:
    """As `tokenhud replay`; `changes` hold in every turn. Raises EngineError."""
    plan, cases, _ = replay_plan(Path(log), methods, changes)
    return _run(replace(plan, runs=runs, warmup=warmup), cases, out, watch)


def _run(plan: Plan, cases: Sequence[Case], out: Path | str | None, watch: Watch | None) -> Result:
    engine = Apart(ProcessEngine)
    folder = Path(out) if out else new_name(plan.purpose)
    try:
        return finished(run_plan(engine, plan, cases, folder), watch)
    finally:
        engine.close()


def _split(settings: dict[str, Any]) -> tuple[Spec, Sampling]:
    """What is no field of Spec is one of Sampling, or refused there."""
    own = {each.name for each in fields(Spec)}
    here = {name: value for name, value in settings.items() if name in own}
    there = {name: value for name, value in settings.items() if name not in own}
    return from_record(Spec, here), from_record(Sampling, there)
