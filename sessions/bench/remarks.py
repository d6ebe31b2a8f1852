"""What the figures say, in sentences: which method is best where, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .. import figures
from .comparison import TOTAL, Beside
from .derived import cover, is_remote, memory, of_method, right
from .result import Result
from .standing import Best, besides, best_of_sweep, beyond, passes_for
from .statistics import FEWEST, Ratio, summarise
from .words import interval, share

OTHERS = 10.0  # percent of the machine in use by others from which figures suffer
MANY = 12  # cases, beyond which only all of them together are told of
LOW = 0.3  # of the drafted tokens kept, below which drafting seldom pays


def remarks(result: Result, sides: Sequence[Beside] | None = None) -> list[str]:
    """Nothing is said to be faster unless it is so beyond noise. `sides` are the other methods
    beside the first by their decode rates, where they are known already."""
    first = next(iter(result.methods), "")
    if sides is None:
        sides = besides(result, "decode_tps")
    return [
        *_fastest(result, first, sides),
        *_losers(first, sides),
        *_sweep(best_of_sweep(result)),
        *_drafts(result),
        *_answers(result),
        *_spreads(result),
        *_wary(result),
    ]


def _fastest(result: Result, first: str, sides: Sequence[Beside]) -> Iterator[str]:
    """For each case, and in all."""
    if not sides or all(each.total.value is None for each in sides):
        return
    if max(each.total.n_candidate for each in sides) < FEWEST:
        yield f"Which method is faster cannot be told of fewer than {FEWEST} passes."
        return
    tied: dict[str, int] = {}  # with the comparisons that each is one of
    for case, ratios in _places(result, sides).items():
        name, best = max(ratios.items(), key=lambda pair: pair[1].value or 0.0)
        tests = len(sides) if case == TOTAL else _tests(sides)
        if beyond(best, tests) == "faster":
            yield f"{case}: {name} decodes {interval(best)} times as fast as {first}, {_n(best)}."
        else:
            tied[case] = tests
    if tied:
        passes = max(each.total.n_candidate for each in sides)
        yield _undecided(first, _listed(tied), max(tied.values()), passes)


def _tests(sides: Sequence[Beside]) -> int:
    """Comparisons of a method in a case, one of which is soon beyond noise by chance."""
    return sum(len(each.cases) for each in sides)


def _undecided(first: str, where: str, tests: int, passes: int) -> str:
    """Of n pairs no p is below 2**-n, and it counts as often as there are comparisons."""
    fewest = passes_for(tests)
    if passes >= fewest:
        return f"No method decodes faster than {first}, beyond noise, in {where}."
    return (
        f"Whether one decodes faster than {first} in {where} cannot be told yet: with {tests} "
        f"comparisons that takes {fewest} passes; there are {passes}."
    )


def _places(result: Result, sides: Sequence[Beside]) -> dict[str, dict[str, Ratio]]:
    """The known ratios of each method, by case."""
    found = {}
    for case in result.case_names if len(result.case_names) <= MANY else ():
        ratios = {each.method: each.cases[case] for each in sides if case in each.cases}
        found[case] = {name: each for name, each in ratios.items() if each.value is not None}
    if len(result.case_names) > 1:
        found[TOTAL] = {each.method: each.total for each in sides if each.total.value is not None}
    return {case: ratios for case, ratios in found.items() if ratios}


def _losers(first: str, sides: Sequence[Beside]) -> Iterator[str]:
    tests = _tests(sides)
    for each in sides:
        slower = [case for case, found in each.cases.items() if beyond(found, tests) == "slower"]
        if slower:
            worst = min((each.cases[case] for case in slower), key=lambda found: found.value or 0.0)
            yield (
                f"{each.method} decodes slower than {first} in {_listed(slower)}: "
                f"at worst {interval(worst)} times as fast, {_n(worst)}."
            )


def _sweep(best: Best | None) -> Iterator[str]:
    if best is None:
        return
    if best.ratio is None or best.ratio.value is None:
        yield f"{best.method} has the highest rate, but differs from {best.second} in more."
    elif best.sure:
        yield (
            f"Best of the sweep: {best.method}, {interval(best.ratio)} times as fast as "
            f"{best.second}, the next, {_n(best.ratio)}."
        )
    else:
        yield (
            f"The sweep has no single best: {best.method} and {best.second} are a tie, "
            f"{interval(best.ratio)}, {_n(best.ratio)}."
        )


def _drafts(result: Result) -> Iterator[str]:
    for method in result.methods:
        mine = of_method(result, method)
        drafted, kept = sum(each.drafted for each in mine), sum(each.accepted for each in mine)
        if drafted and kept < LOW * drafted:
            yield (
                f"{method}: {figures.percent(kept / drafted)} of {drafted:,} drafted tokens were "
                "kept, which seldom pays."
            )


def _answers(result: Result) -> Iterator[str]:
    first = result.methods[0] if result.methods else ""
    if found := cover(result, first):
        most = figures.percent(found.share)
        if found.tokens is None:
            yield f"More than {figures.percent(1 - found.share)} of {found.n} answers were cut off."
        else:
            yield f"{found.tokens:,} tokens cover {most} of {first}'s answers, n = {found.n}."
    for method in result.methods:
        if hits := right(result, method):
            yield f"{method}: right answers {share(hits)}."


def _spreads(result: Result) -> list[str]:
    """Outliers and drift of the decode rates."""
    found = [
        f"{case}, {method}: {said}"
        for case in result.case_names
        for method in result.methods
        for said in summarise(result.values("decode_tps", case, method)).remarks
    ]
    more = [f"And {len(found) - MANY} more remarks of this kind."] if len(found) > MANY else []
    return found[:MANY] + more


def _wary(result: Result) -> Iterator[str]:
    loads = [each.other_load for each in result.measured if each.other_load is not None]
    busiest = max(loads, default=0.0)
    if busiest >= OTHERS or (result.idle_load or 0.0) >= OTHERS:
        yield (
            "The machine was busy: others used "
            + (f"up to {busiest:.0f} % of it during an answer, and " if loads else "")
            + f"{result.idle_load or 0.0:.0f} % of it before the first."
        )
    here = [each for each in result.methods if not is_remote(result, each)]
    unseen = [each for each in here if memory(result, each).peak_rss is None]
    if result.measured and unseen:
        yield f"Answers too short for a reading of the memory: {_listed(unseen)}."


def _n(found: Ratio) -> str:
    return f"n = {found.n_candidate}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
