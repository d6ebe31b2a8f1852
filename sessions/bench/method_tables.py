"""What each method took in all: speed, scaling, drafts, words, loading, memory."""

from __future__ import annotations

from .. import figures
from .derived import (
    as_reference,
    cases_of,
    decode_by_case,
    distinct,
    left_out,
    load_ms,
    memory,
    of_method,
    positions,
    prefill_line,
    right,
    total,
)
from .result import Result
from .statistics import summarise
from .table import Table
from .words import number, share, spread, tenths


def method_tables(result: Result) -> list[Table]:
    """Some may have no row."""
    return [
        _totals(result),
        _scaling(result),
        _acceptance(result),
        _said(result),
        _loads(result),
        _memory(result),
    ]


def _totals(result: Result) -> Table:
    rows = []
    for method in result.methods:
        whole = total(result, method)
        rate = summarise(result.totals("decode_tps", method)).median
        per_pass = summarise(result.totals("mean_acceptance_length", method)).median
        if whole.answers:
            rows.append(
                (
                    method,
                    figures.count(whole.answers),
                    figures.count(whole.tokens),
                    figures.elapsed(whole.wall_ns),
                    number(whole.tps),
                    number(whole.answers_per_second),
                    number(1000 / rate if rate else None),
                    number(per_pass),
                )
            )
    head = ("method", "n", "tokens", "time", "tok/s", "answers/s", "ms a token", "tokens a pass")
    notes = [
        "tok/s and answers/s: the n measured answers one after another, the wait for each first "
        "token included.",
        "ms a token: 1000 / decode tok/s, median of the passes.",
        *left_out(result),
    ]
    return Table("Methods", head, rows, notes if rows else ())


def _scaling(result: Result) -> Table:
    rows = []
    for method in result.methods:
        line, cases = prefill_line(result, method), decode_by_case(result, method)
        fitted = (figures.ABSENT,) * 4
        if line:
            r2 = figures.ABSENT if line.r2 is None else f"{line.r2:.3f}"
            fitted = (number(line.slope), number(line.intercept), r2, str(line.n))
        if line or cases.cv is not None:
            rows.append((method, *fitted, tenths(cases.cv), str(cases.n)))
    head = ("method", "ms a prompt token", "ms at none", "r²", "n", "CV of decode", "n")
    notes = [
        "A line through the time to read a prompt over its evaluated tokens, and the spread of "
        "decode tok/s: n cases, the median of each."
    ]
    return Table("Scaling", head, rows, notes if rows else ())


def _acceptance(result: Result) -> Table:
    found = {
        method: places
        for method in result.methods
        if (places := positions(of_method(result, method)))
    }
    longest = max(map(len, found.values()), default=0)
    rows = []
    for method, places in found.items():
        cells = [f"{figures.percent(each.acceptance)} of {each.drafted:,}" for each in places]
        rows.append((method, *cells, *[figures.ABSENT] * (longest - len(cells))))
    head = ("method", *map(str, range(1, longest + 1)))
    notes = ["Share that was kept of the tokens drafted there."] if rows else ()
    return Table("Acceptance by place in the draft", head, rows, notes)


def _said(result: Result) -> Table:
    rows = []
    for method in result.methods:
        same, hits = as_reference(result, method), right(result, method)
        different = [distinct(result, case, method) for case in cases_of(result, method)]
        most = max((each for each in different if each is not None), default=None)
        if same or hits:
            n = str(len(of_method(result, method)))
            rows.append((method, n, share(same), figures.count(most), share(hits)))
    head = ("method", "n", "cases in the first's words", "answers to one case", "right answers")
    notes = [
        "In the first's words: every answer has the same tokens as all answers of the first "
        "method. Answers to one case: how many different ones at most."
    ]
    return Table("Words", head, rows, notes if rows else ())


def _loads(result: Result) -> Table:
    rows = []
    for method in dict.fromkeys(each.method for each in result.loads):
        seconds = [ms / 1e3 for ms in load_ms(result, method)]
        rows.append((method or "the chat", str(len(seconds)), spread(seconds, "s")))
    notes = ["Median (lowest to highest) until the weights were ready."] if rows else ()
    return Table("Loading, seconds", ("method", "n", "time"), rows, notes)


def _memory(result: Result) -> Table:
    found = {each: memory(result, each) for each in result.methods}
    parts = tuple(dict.fromkeys(name for each in found.values() for name in each.parts))
    rows = []
    for method, held in found.items():
        sizes = [held.peak_rss, held.peak_vram, *map(held.parts.get, parts), held.estimate]
        if any(sizes):
            n = str(len(of_method(result, method)))
            rows.append((method, n, *map(figures.size, sizes)))
    head = ("method", "n", "peak, engine", "peak, GPU", *parts, "estimate")
    notes = [
        "Peaks are measured: the highest of a reading a second during n answers. The parts are as "
        "the engine counts them after the last answer. The estimate is weights and KV cache."
    ]
    return Table("Memory", head, rows, notes if rows else ())
