"""/compare: two methods, two results, the weights in every form, or all that can run here."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.events import EngineError
from ...engines.options import WEIGHTS, Spec
from ...sessions.bench.asking import Experimental, replay_chat
from ...sessions.bench.comparison import compare
from ...sessions.bench.plan import Method
from ...sessions.bench.result import Result, read_result
from ...sessions.bench.statistics import FEWEST
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.contenders import contest
from ...sessions.places import is_there, results_folder
from ..headless.experiment_words import WIDTH, asked_runs, lines_for, sides, times
from ..headless.standings import ratio_of, standings
from . import grammar
from .experiment_job import RUNS, experiment
from .grammar import Command, Live, Reply, Said, Value
from .quant import compare_command as compare_quant
from .remote import NO_TOKENS

if TYPE_CHECKING:
    from ...sessions.bench.written import Report  # here: the chat starts without it

THRESHOLD = 0.1
USAGE = (
    "It is /compare quant, or /compare A, B: two methods or results. "
    "Alone it takes all that can run here."
)


def compare_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    text = str(values[0]).strip() if values else ""
    if text.lower() == "quant":
        return compare_quant(chat, ())
    try:
        text, runs = asked_runs(text, RUNS)
        named = sides(text)
        if not named:
            return _all(chat, runs)
        if len(named) != 2:
            return Reply(USAGE, ok=False)
        paths = [path for each in named if (path := _result_path(each))]
        if len(paths) == 2:
            return _results(*map(read_result, paths))
    except EngineError as error:
        return Reply(str(error), ok=False)
    return experiment(chat, lambda: (_two(chat, named), runs), _judged)


def _all(chat: Chat, runs: int) -> Reply:
    if chat.spec.url:
        return Reply(NO_TOKENS, ok=False)
    return experiment(chat, lambda: (contest(chat), runs), partial(_best, chat.spec))


def _results(there: Result, here: Result) -> Reply:
    from ...sessions.bench.written import Report

    comparison = compare(here, there, "decode_tps", THRESHOLD)
    return Reply(Report(here, comparison).as_text(width=WIDTH))


def _two(chat: Chat, named: list[str]) -> Experimental:
    """Raises EngineError for a name that stands for several methods."""
    plan, cases = replay_chat(chat.log.records, named, chat.spec)
    if len(plan.methods) != 2:
        raise EngineError("/compare takes two methods.", "/bench CODE with A, B, C takes more.")
    return plan, cases


def _judged(found: Result) -> Generator[Said, None, Report]:
    from ...sessions.bench.written import Report

    one, other = found.methods
    report = Report(found, compare(found, found, "decode_tps", THRESHOLD, other, one))
    yield report.as_text(width=WIDTH)
    return report


def _best(spec: Spec, found: Result) -> Generator[Said, None, Report]:
    from ...sessions.bench.written import Report

    runs = found.plan.runs if found.plan else 0
    yield Live(standings(found, f"Median of {runs} passes in turns, 90 % interval"))
    yield fastest(found, spec)
    return Report(found)


def fastest(found: Result, spec: Spec) -> str:
    """The method that decodes fastest, where its whole interval is above the first method's, and
    what sets it."""
    first, *others = found.methods
    ratios = {each: ratio for each in others if (ratio := ratio_of(found, each))}
    if ratios and all(ratio.low is None for ratio in ratios.values()):
        return f"A verdict needs {FEWEST} passes or more."
    sure = [each for each, ratio in ratios.items() if (ratio.low or 0) > 1]
    if not sure:
        stay = lines_for(_changes(found, first), spec)
        return f"None is faster than {first} beyond noise{_sets(stay)}."
    best = max(sure, key=lambda each: ratios[each].value or 0)
    other = " Its weights may say other words: /compare quant." if _swaps(found, best) else ""
    told = f"Fastest here: {one_line(best)}, {times(ratios[best])} times {first}"
    return f"{told}{_sets(lines_for(_changes(found, best), spec))}.{other}"


def _sets(lines: list[str]) -> str:
    return f"; {' and '.join(lines)} sets it" if lines else ""


def _changes(found: Result, name: str) -> dict[str, str | int | float | None]:
    """From the plan's spec to the method."""
    return {"drafter": "plain"} | _method(found, name).changes


def _swaps(found: Result, name: str) -> bool:
    return any(each in _method(found, name).changes for each in WEIGHTS)


def _method(found: Result, name: str) -> Method:
    methods = found.plan.methods if found.plan else ()
    return next((each for each in methods if each.name == name), Method(name))


def _result_path(text: str) -> Path | None:
    """What names a folder or file as a path does, or is called as kept results are."""
    if "/" in text:
        return Path(text).expanduser() if is_there(text) else None
    named = results_folder() / text
    return named if is_there(str(named)) else None


COMPARE = Command(
    "compare",
    "all that can run here on the last message, two methods or results, or quant: every form of "
    "the weights",
    compare_command,
    (
        grammar.text(
            "quant|A, B", "nothing, quant, or two methods or result folders", optional=True
        ),
    ),
    "/compare plain, suffix",
    idle=True,
)
