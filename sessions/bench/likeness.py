"""What differs between two sides of a comparison, and whether it makes them unlike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from operator import ne
from statistics import median
from typing import Any, NamedTuple

from ...engines.events import Model
from ...engines.options import Options, Sampling, Spec, limits
from ..clean import one_line
from ..figures import ABSENT, percent, size
from .answers import Answer
from .passes import Answered
from .plan import Case
from .replaying import read_replay
from .result import Result

MEMORY = 0.05  # share by which the machine's memory may differ
LENGTH = 0.1  # share by which answers to a case may differ in tokens
LOAD = 10.0  # percent of the machine that others may use more on one side
READS = ("ttft_ms", "prefill_tps", "e2e_tps", "e2e_ms")  # measures that hold the prompt's time
_MACHINE = {
    "processor": ("cpu", "name"),
    "usable cores": ("cpu", "usable"),
    "machine": ("machine",),
    "system": ("system",),
    "GPU": ("gpu", "name"),
}
_SYSTEM = {
    "kernel": ("release",),
    "python": ("python_version",),
    "GPU driver": ("gpu", "driver"),
    "CUDA of the driver": ("gpu", "cuda"),
}

Pairs = Mapping[str, tuple[Any, Any]]  # a case, and what each side has there


class Difference(NamedTuple):
    """Both values in words; where it `matters` the sides are unlike and nothing can be judged."""

    name: str
    here: str
    there: str
    matters: bool

    @property
    def sentence(self) -> str:
        return f"{self.name[0].upper()}{self.name[1:]}: {self.here} here, {self.there} there."


class Settings(NamedTuple):
    spec: Spec
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Side:
    """A method of a result: its measured answers by case and pass, and what they ran under."""

    result: Result
    method: str
    answers: Answered
    settings: Mapping[str, Settings]  # by case
    said: Mapping[str, object]  # by case: the messages, where token ids don't tell

    def median(self, case: str, of: Callable[[Answer], float | None]) -> float | None:
        known = [n for each in self.answers[case].values() if (n := of(each)) is not None]
        return median(known) if known else None

    def words(self, case: str, of: Callable[[Answer], str]) -> set[str]:
        return {of(each) for each in self.answers[case].values()}


def side(result: Result, method: str) -> Side:
    """Raises EngineError where a chat's log can't be read again."""
    answers = result.by_case(method)
    firsts = {case: next(iter(passes.values())) for case, passes in answers.items()}
    settings = {
        case: Settings(first.spec or Spec(), first.sampling or Sampling())
        for case, first in firsts.items()
    }
    unknown = any(not each.prompt_words for each in firsts.values())
    said = _messages(result) if unknown else {}
    return Side(result, method, answers, settings, said)


def shared(here: Side, there: Side) -> tuple[str, ...]:
    """The cases that both have measured."""
    return tuple(case for case in here.answers if case in there.answers)


def differences(here: Side, there: Side, measure: str) -> tuple[Difference, ...]:
    """All that differs, what matters first. Some of it matters to certain measures alone."""
    cases = shared(here, there)
    found = (
        *_cases(here, there),
        *_weights(here, there, cases),
        *_prompts(here, there, cases),
        *_options(here, there, cases),
        *_machine(here.result, there.result),
        *_versions(here.result, there.result),
        *_answers(here, there, cases, measure),
        *_circumstances(here, there),
    )
    return tuple(sorted(found, key=lambda each: not each.matters))


def unanswered(here: Side, there: Side) -> Iterator[Difference]:
    """What there answered and here could not, or did not though it was planned: no figures of the
    other cases make up for it."""
    planned = {each.name for each in here.result.cases if not each.skip and here.result.plan}
    cold = {each.case for each in here.result.answers if each.method == here.method and each.cold}
    why = dict.fromkeys(planned - cold, "no answer")
    why |= {
        each.case: f"failed ({each.why})"
        for each in here.result.failures
        if each.method == here.method
    }
    missing = [case for case in there.answers if case not in here.answers and case in why]
    if missing:
        first, *others = missing
        more = f" and {len(others)} more" if others else ""
        yield Difference(f"case {_word(first)}{more}", one_line(why[first]), "answered", True)


def _messages(result: Result) -> dict[str, object]:
    """By case; a chat's are read again."""
    cases = result.cases
    if not result.plan and result.path:
        cases = read_replay(result.path).cases
    return {case.name: _said(cases, at) for at, case in enumerate(cases)}


def _said(cases: tuple[Case, ...], at: int) -> object:
    """The messages of a case; a log may tell of a conversation that runs in circles."""
    case = cases[at]
    said: list[object] = [case.system, case.exact, case.text]
    while (before := cases[at].after) is not None and before < at:
        said += [cases[before].reply, cases[before].text]
        at = before
    return said


def _cases(here: Side, there: Side) -> Iterator[Difference]:
    mine = [case for case in here.answers if case not in there.answers]
    theirs = [case for case in there.answers if case not in here.answers]
    none = not shared(here, there)
    if none or mine or theirs:
        yield Difference("cases of one side only", _list(mine), _list(theirs), none)


def _weights(here: Side, there: Side, cases: tuple[str, ...]) -> Iterator[Difference]:
    """By the files' bytes. Where some aren't known, as of a server's model, by name."""
    mine, theirs = _models(here, cases), _models(there, cases)
    hashes = [{each.sha256 for each in side.values()} for side in (mine, theirs)]
    if not all(hashes) or any("" in each for each in hashes):
        yield from _names(here, there, cases, mine, theirs)
        yield Difference("model file's hash", _hashes(mine), _hashes(theirs), False)
    elif hashes[0] != hashes[1]:
        yield Difference("model file", _files(mine), _files(theirs), True)
    ours, others = _changed(here, cases), _changed(there, cases)
    if ours or others:
        yield Difference("model file that changed meanwhile", _list(ours), _list(others), True)
    if len(mine) == len(theirs) == 1:
        yield from _kind(*mine.values(), *theirs.values())


def _models(side: Side, cases: tuple[str, ...]) -> dict[str, Model]:
    """Those that answered, each once."""
    models = [each.loaded.model for each in _answered(side, cases) if each.loaded]
    return {each.sha256 or each.name: each for each in models}


def _answered(side: Side, cases: tuple[str, ...]) -> Iterator[Answer]:
    return (each for case in cases for each in side.answers[case].values())


def _names(
    here: Side,
    there: Side,
    cases: tuple[str, ...],
    mine: Mapping[str, Model],
    theirs: Mapping[str, Model],
) -> Iterator[Difference]:
    """Those that the weights have; where nobody told of any, those that were asked for."""
    if mine and theirs:
        ours, others = ({each.name for each in side.values()} for side in (mine, theirs))
        yield from _unlike("model", _list(ours), _list(others), matters=True)
    else:
        asked = _pairs(here, there, cases, lambda each, case: each.settings[case].spec.model)
        yield from _apart("model", asked, matters=True)


def _changed(side: Side, cases: tuple[str, ...]) -> list[str]:
    """Hashes of files that were loaded under one name, as where a result was resumed on another."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in _answered(side, cases):
        if each.spec and each.loaded and each.loaded.model.sha256:
            hashes = found.setdefault((each.spec.url, each.spec.model), set())
            hashes.add(each.loaded.model.sha256[:12])
    return [sha256 for hashes in found.values() if len(hashes) > 1 for sha256 in hashes]


def _kind(mine: Model, theirs: Model) -> Iterator[Difference]:
    for name in ("architecture", "vocabulary"):
        yield from _known(name, getattr(mine, name), getattr(theirs, name))
    yield from _known("template", mine.template_sha256[:12], theirs.template_sha256[:12])


def _hashes(models: Mapping[str, Model]) -> str:
    return _list([each.sha256[:12] or "unknown" for each in models.values()] or ["unknown"])


def _files(models: Mapping[str, Model]) -> str:
    return _list(f"{_word(each.name)} {each.sha256[:12]}" for each in models.values())


def _prompts(here: Side, there: Side, cases: tuple[str, ...]) -> Iterator[Difference]:
    """By token ids; where a side doesn't know them, by messages, without which they may be any."""

    def prompt(each: Side, case: str) -> set[str]:
        return each.words(case, lambda answer: answer.prompt_words)

    known = [case for case in cases if "" not in prompt(here, case) | prompt(there, case)]
    ids = {case: (_list(prompt(here, case)), _list(prompt(there, case))) for case in known}
    yield from _apart("prompt", ids, matters=True)
    for case in cases:
        if case not in known and here.said.get(case) != there.said.get(case, case):
            yield Difference(f"prompt of {_word(case)}", "unknown", "not known to be it", True)
            return


def _options(here: Side, there: Side, cases: tuple[str, ...]) -> Iterator[Difference]:
    """How tokens are picked matters, and the server that answers; the rest is under test."""
    for name in (each.name for each in fields(Sampling)):
        pairs = _pairs(here, there, cases, lambda one, case: one.settings[case].sampling)
        values = {case: _both(Sampling, name, pair) for case, pair in pairs.items()}
        used = any(_used(name, each) for pair in pairs.values() for each in pair)
        yield from _apart(name, values, matters=used)
    for name in (each.name for each in fields(Spec) if each.name != "model"):
        pairs = _pairs(here, there, cases, lambda one, case: one.settings[case].spec)
        values = {case: _both(Spec, name, pair) for case, pair in pairs.items()}
        yield from _apart(name, values, matters=name == "url")


def _used(name: str, sampling: Sampling) -> bool:
    """Whether it has a say in which tokens are picked."""
    if name == "seed":
        return sampling.temperature > 0
    return sampling.num_beams > 1 or not name.startswith("beam_")


def _both(kind: type[Options], name: str, pair: tuple[Options, Options]) -> tuple[str, str]:
    def told(each: Options) -> str:
        value = getattr(each, name)
        return str(limits(kind, name).get("off")) if value is None else _word(value)

    here, there = pair
    return told(here), told(there)


def _machine(here: Result, there: Result) -> Iterator[Difference]:
    for name, path in _MACHINE.items():
        yield from _unlike(name, _info(here, *path), _info(there, *path), matters=True)
    mine, theirs = _bytes(here), _bytes(there)
    if _apart_by(MEMORY, mine, theirs):
        yield Difference("memory", size(mine), size(theirs), True)


def _versions(here: Result, there: Result) -> Iterator[Difference]:
    yield from _unlike("tokenhud", _version(here), _version(there), matters=False)
    for name, path in _SYSTEM.items():
        yield from _unlike(name, _info(here, *path), _info(there, *path), matters=False)
    mine, theirs = (_object(_environment(each).get("packages")) for each in (here, there))
    for name in sorted(mine.keys() | theirs.keys()):
        yield from _unlike(_word(name), mine.get(name), theirs.get(name), matters=False)


def _answers(here: Side, there: Side, cases: tuple[str, ...], measure: str) -> Iterator[Difference]:
    cached = _pairs(here, there, cases, lambda s, case: s.median(case, lambda a: a.cached_tokens))
    yield from _apart("cached prompt tokens", cached, matters=measure in READS)
    tokens = _pairs(here, there, cases, lambda s, case: s.median(case, lambda a: a.tokens))
    yield from _apart(
        "tokens of the answer", tokens, measure == "e2e_ms", lambda a, b: _apart_by(LENGTH, a, b)
    )
    words = _pairs(here, there, cases, lambda s, case: s.words(case, lambda a: a.words))
    told = {case: (_list(a), _list(b)) for case, (a, b) in words.items() if "" not in a | b}
    yield from _apart("words of the answer", told, matters=False)


def _circumstances(here: Side, there: Side) -> Iterator[Difference]:
    mine, theirs = _other_load(here), _other_load(there)
    if mine is not None and theirs is not None and abs(mine - theirs) > LOAD:
        yield Difference("load by others", percent(mine / 100), percent(theirs / 100), False)
    yield from _counted("cold answers, left out", _cold(here), _cold(there))
    problems = len(here.result.problems), len(there.result.problems)
    yield from _counted("lines that can't be read, so that it is partial", *problems)


def _other_load(side: Side) -> float | None:
    answers = [each for passes in side.answers.values() for each in passes.values()]
    known = [each.other_load for each in answers if each.other_load is not None]
    return median(known) if known else None


def _cold(side: Side) -> int:
    return sum(
        each.cold and not each.warmup and each.method == side.method for each in side.result.answers
    )


def _counted(name: str, here: int, there: int) -> Iterator[Difference]:
    """Worth knowing also where both sides have as many."""
    if here or there:
        yield Difference(name, str(here), str(there), False)


def _unlike(name: str, here: object, there: object, matters: bool) -> Iterator[Difference]:
    if here != there:
        yield Difference(name, _word(here), _word(there), matters)


def _known(name: str, here: object, there: object) -> Iterator[Difference]:
    """As of a model; "" and 0 are what a server doesn't tell."""
    if here and there:
        yield from _unlike(name, here, there, matters=True)


def _pairs(here: Side, there: Side, cases: Iterable[str], of: Callable[[Side, str], Any]) -> Pairs:
    return {case: (of(here, case), of(there, case)) for case in cases}


def _apart(
    name: str, pairs: Pairs, matters: bool, differ: Callable[[Any, Any], bool] = ne
) -> Iterator[Difference]:
    """One difference for all cases: what the first of them has, and how many others differ."""
    apart = {case: (_word(a), _word(b)) for case, (a, b) in pairs.items() if differ(a, b)}
    if not apart:
        return
    case, (here, there) = next(iter(apart.items()))
    everywhere = len(apart) == len(pairs) and len(set(apart.values())) == 1
    more = f" and {len(apart) - 1} more" if len(apart) > 1 else ""
    yield Difference(name if everywhere else f"{name} ({_word(case)}{more})", here, there, matters)


def _apart_by(share: float, here: float | None, there: float | None) -> bool:
    if here is None or there is None:
        return here is not there
    return abs(here - there) > share * max(here, there)


def _info(result: Result, *path: str) -> object:
    found: object = _environment(result).get("machine_info")
    for name in path:
        found = _object(found).get(name)
    return found


def _bytes(result: Result) -> int | None:
    found = _info(result, "ram_total")
    return found if isinstance(found, int) and 0 < found < 2**63 else None


def _version(result: Result) -> str | None:
    return result.header.tokenhud_version if result.header else None


def _environment(result: Result) -> dict[str, Any]:
    return result.header.environment if result.header else {}


def _object(value: object) -> dict[str, Any]:
    """A log's environment may hold anything."""
    return value if isinstance(value, dict) else {}


def _list(names: Iterable[str]) -> str:
    return one_line(", ".join(sorted(names))) or ABSENT


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ABSENT if value in (None, "") else one_line(str(value), 60)
