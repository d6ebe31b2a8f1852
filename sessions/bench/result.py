"""What an experiment, or a chat, measured: read from its raw log, which is all that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ...engines.events import EngineError, Loaded, Sample
from ..clean import one_line
from ..reading import Problem, read
from ..records import Header, Record, Trial
from .answers import MEASURES, Answer, answer
from .plan import Case, Plan
from .runs import Run, runs

RAW = "runs.jsonl"  # in a result folder


class Load(NamedTuple):
    """Weights made ready; `method` is "" where they served a chat."""

    method: str
    loaded: Loaded


class Failure(NamedTuple):
    """What a method couldn't answer, and why."""

    method: str
    case: str
    why: str


@dataclass(frozen=True)
class Result:
    """`answers` are in the order they came, warm-ups and unfinished ones too. `plan` is None for
    a chat."""

    name: str
    header: Header | None
    plan: Plan | None
    cases: tuple[Case, ...]
    answers: tuple[Answer, ...]
    loads: tuple[Load, ...]
    failures: tuple[Failure, ...] = ()
    idle_load: float | None = None  # percent of the machine in use before the first answer
    problems: tuple[Problem, ...] = ()
    path: Path | None = None  # of the raw log

    @property
    def methods(self) -> tuple[str, ...]:
        """In the plan's order, the one that others are measured against first."""
        named = [each.name for each in self.plan.methods] if self.plan else []
        return tuple(dict.fromkeys([*named, *(each.method for each in self.answers)]))

    @property
    def case_names(self) -> tuple[str, ...]:
        named = [each.name for each in self.cases if not each.skip]
        return tuple(dict.fromkeys([*named, *(each.case for each in self.answers)]))

    @cached_property
    def measured(self) -> tuple[Answer, ...]:
        """The last answer of each case, method and pass: a pass that was cut off is run again."""
        whole = (each for each in self.answers if each.measured)
        return tuple({(each.case, each.method, each.number): each for each in whole}.values())

    def of(self, case: str, method: str) -> tuple[Answer, ...]:
        """In the order of the passes."""
        found = [each for each in self.measured if each.case == case and each.method == method]
        return tuple(sorted(found, key=lambda each: each.number))

    def values(self, measure: str, case: str, method: str) -> list[float]:
        """One a pass, of those that have it."""
        take = MEASURES[measure].of
        return [value for each in self.of(case, method) if (value := take(each)) is not None]

    def totals(self, measure: str, method: str) -> list[float]:
        """One for each pass that answered every case that this method can answer."""
        over = MEASURES[measure].over
        values = [over(answers) for _, answers in self.passes(method)]
        return [value for value in values if value is not None]

    def passes(self, method: str) -> list[tuple[int, list[Answer]]]:
        mine = [each for each in self.measured if each.method == method]
        wanted = {each.case for each in mine}
        numbers = sorted({each.number for each in mine})
        found = [(n, [each for each in mine if each.number == n]) for n in numbers]
        return [(n, answers) for n, answers in found if {each.case for each in answers} == wanted]

    def model(self, method: str | None = None) -> Loaded | None:
        """What was loaded last, for `method` where it is given."""
        found = [each.loaded for each in self.loads if method in (None, each.method)]
        return found[-1] if found else self.model() if method is not None else None


def read_result(path: Path) -> Result:
    """Of a result folder, its raw log, or a chat's log. Raises EngineError."""
    file = path / RAW if path.is_dir() else path
    if not file.is_file():
        what = f"holds no {RAW}" if path.is_dir() else "is not there"
        raise EngineError(
            f"{one_line(str(path))} {what}.", "Name a log, or a folder that bench or replay wrote."
        )
    problems: list[Problem] = []

    def records() -> Iterator[Record]:
        for each in read(file):
            if isinstance(each, Problem):
                problems.append(each)
            else:
                yield each

    shown = file.parent if file.name == RAW else file.with_suffix("")
    found = _collected(records(), one_line(shown.name), file)
    return found.result(tuple(problems))


def result(records: Iterable[Record], name: str = "") -> Result:
    """Of records in memory."""
    return _collected(records, name, None).result(())


def _collected(records: Iterable[Record], name: str, path: Path | None) -> _Collected:
    collected = _Collected(name, path)
    for run in runs(collected.passing(records)):
        collected.take(run)
    return collected


@dataclass(slots=True)
class _Collected:
    name: str
    path: Path | None
    header: Header | None = None
    plan: Plan | None = None
    cases: list[Case] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    _before: list[float] = field(default_factory=list)
    _method: str = ""

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """`records`, with what is not of one answer noted."""
        for record in records:
            match record:
                case Header():
                    self.header = self.header or record
                case Plan():
                    self.plan = record
                    self.cases.clear()
                case Case():
                    self.cases.append(record)
                case Trial():
                    self._method = record.method
                case Loaded():
                    self.loads.append(Load(self._method, record))
                case Sample(cpu_percent=float(percent)) if not self.answers and not self._method:
                    self._before.append(percent)
                case _:
                    pass
            yield record

    def take(self, run: Run) -> None:
        expected = next((each.expected for each in self.cases if each.name == run.case), "")
        self.answers.append(answer(run, expected))
        stop = run.metrics.stop
        if stop and stop.reason == "error":
            self.failures[run.method, run.case] = f"{stop.what} {stop.remedy}".rstrip()

    def result(self, problems: tuple[Problem, ...]) -> Result:
        return Result(
            self.name,
            self.header,
            self.plan,
            tuple(self.cases),
            tuple(self.answers),
            tuple(self.loads),
            tuple(Failure(*key, why) for key, why in self.failures.items()),
            max(self._before, default=None),
            problems,
            self.path,
        )


def same_words(answers: Sequence[Answer], reference: Sequence[Answer]) -> bool | None:
    """Whether all answers to a case have the same token ids; None where some aren't known."""
    words = {each.words for each in (*answers, *reference)}
    return None if not answers or not reference or "" in words else len(words) == 1
