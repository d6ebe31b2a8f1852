"""What an experiment, or a chat, measured: read from its raw log, which is all that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ...engines.events import EngineError, Loaded, Sample
from ..clean import one_line
from ..reading import Problem, read
from ..records import Header, Record, Trial
from .answers import MEASURES, Answer, Measure, answer
from .passes import Answered, by_case, lacking, totals, whole
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
    header: Header | None = field(repr=False)
    plan: Plan | None = field(repr=False)
    cases: tuple[Case, ...] = field(repr=False)  # here and below: thousands of lines in a notebook
    answers: tuple[Answer, ...] = field(repr=False)
    loads: tuple[Load, ...] = field(repr=False)
    failures: tuple[Failure, ...] = ()
    idle_load: float | None = None  # percent of the machine, by others before the first answer
    problems: tuple[Problem, ...] = ()
    path: Path | None = None  # of the raw log

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """In the plan's order, the one that others are measured against first."""
        named = [each.name for each in self.plan.methods] if self.plan else []
        return tuple(dict.fromkeys([*named, *(each.method for each in self.answers)]))

    @cached_property
    def case_names(self) -> tuple[str, ...]:
        named = [each.name for each in self.cases if not each.skip]
        return tuple(dict.fromkeys([*named, *(each.case for each in self.answers)]))

    @cached_property
    def measured(self) -> tuple[Answer, ...]:
        """The last answer of each case, method and pass: a pass that was cut off is run again."""
        whole = (each for each in self.answers if each.measured)
        return tuple({(each.case, each.method, each.number): each for each in whole}.values())

    @cached_property
    def _answered(self) -> Mapping[str, Answered]:
        found: dict[str, list[Answer]] = {}
        for each in self.measured:
            found.setdefault(each.method, []).append(each)
        return {method: by_case(answers) for method, answers in found.items()}

    def by_case(self, method: str) -> Answered:
        """The measured answers."""
        return self._answered.get(method, {})

    def of(self, case: str, method: str) -> tuple[Answer, ...]:
        """In the order of the passes."""
        return tuple(self.by_case(method).get(case, {}).values())

    def values(self, measure: str, case: str, method: str) -> list[float]:
        """One a pass, of those that have it."""
        take = MEASURES[measure].of
        return [value for each in self.of(case, method) if (value := take(each)) is not None]

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """The cases that were answered by all methods that answered any."""
        sides = self._answered.values()
        return tuple(case for case in self.case_names if sides and all(case in s for s in sides))

    @cached_property
    def totalled(self) -> Mapping[str, tuple[str, ...]]:
        """By measure, the shared cases that all methods have it for: what totals are over, so that
        they can be set beside each other. A method that has it for none leaves none out."""
        return {name: self._totalled(measure) for name, measure in MEASURES.items()}

    def _totalled(self, measure: Measure) -> tuple[str, ...]:
        out: set[str] = set()
        for mine in self._answered.values():
            lacks = lacking(measure, mine, self.shared, whole(mine, self.shared))
            out |= lacks if len(lacks) < len(self.shared) else set()
        return tuple(case for case in self.shared if case not in out)

    def totals(self, measure: str, method: str) -> list[float]:
        """One for each pass that answered all shared cases, over those that are totalled."""
        return list(self.by_pass(measure, method).values())

    def by_pass(self, measure: str, method: str) -> dict[int, float]:
        """The totals by the number of their pass."""
        about, cases, mine = MEASURES[measure], self.totalled[measure], self.by_case(method)
        passes = whole(mine, self.shared)
        if lacking(about, mine, cases, passes):
            return {}
        return totals(about, mine, cases, passes)

    def passes(self, method: str) -> list[tuple[int, list[Answer]]]:
        """Those that answered every case that this method can answer."""
        mine = self.by_case(method)
        return [(n, [passes[n] for passes in mine.values()]) for n in whole(mine, mine)]

    def model(self, method: str) -> Loaded | None:
        """The weights that answered last by `method`, or else were loaded for it."""
        answered = (each.loaded for each in reversed(self.answers) if each.method == method)
        loaded = (each.loaded for each in reversed(self.loads) if each.method == method)
        return next(filter(None, answered), None) or next(loaded, None)


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
    _expected: dict[str, str] = field(default_factory=dict)  # by case
    _held: dict[str, Loaded] = field(default_factory=dict)  # loaded last, by the server's address
    _before: list[float] = field(default_factory=list)
    _method: str = ""

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """`records`, with what is not of one answer noted."""
        for record in records:
            match record:
                case Header():
                    self.header = self.header or record
                case Plan():
                    self._begin(record)
                case Case():
                    self.cases.append(record)
                    self._expected.setdefault(record.name, record.expected)
                case Trial():
                    self._method = record.method
                case Loaded():
                    self.loads.append(Load(self._method, record))
                    self._held[record.spec.url] = record
                case Sample(cpu_percent=float(percent)) if not self.answers and not self._method:
                    self._before.append(max(0.0, percent - (record.engine_cpu_percent or 0.0)))
                case _:
                    pass
            yield record

    def _begin(self, plan: Plan) -> None:
        """Of several plans in one log the last is the one that is told."""
        told, self.plan, self._method = self.plan is not None, plan, ""
        if not told:
            return
        for each in (self.cases, self.answers, self.loads, self.failures, self._expected):
            each.clear()

    def take(self, run: Run) -> None:
        start, stop = run.metrics.start, run.metrics.stop
        loaded = self._held.get(start.spec.url) if start else None
        self.answers.append(answer(run, self._expected.get(run.case, ""), loaded))
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
