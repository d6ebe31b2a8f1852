"""The charts that a result has something to show in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from ...engines.events import Event, Stop
from ..costs import CostMeter
from ..reading import only_records, read
from ..records import Record, Trial, Turn
from ..turns import SECOND
from .answers import MEASURES, Answer
from .chart import Chart, Series
from .comparison import beside
from .derived import left_out, of_method, positions
from .fit import fit_line
from .result import Result
from .runs import NOT_EVENTS, Run, runs
from .words import counts

FEWEST = 2  # points of a curve


def charts(result: Result) -> list[Chart]:
    """Those that have at least two points, in the order of a report. The ones by step and of a
    predicted speed-up read the raw log again."""
    made = (
        _sweep(result),
        _speedup(result),
        _by_case(result, "decode_tps"),
        _by_case(result, "prefill_tps"),
        _ttft(result),
        _steps(result),
        _acceptance(result),
    )
    return [each for each in made if each and _has_points(each)]


def _ttft(result: Result) -> Chart | None:
    """Against the prompt tokens that were evaluated, with a line fitted to each method."""
    series: list[Series] = []
    notes: list[str] = []
    for method in result.methods:
        points = sorted(
            _prompt_point(result.of(case, method))
            for case in result.case_names
            if _timed(result.of(case, method))
        )
        if len({x for x, *_ in points}) < FEWEST:
            continue
        xs, ys, lows, highs = map(list, zip(*points, strict=True))
        series.append(Series(method, xs, ys, lows, highs))
        if (line := fit_line(xs, ys)) and len(xs) > FEWEST:
            series.append(
                Series(
                    f"{method}, fitted",
                    [xs[0], xs[-1]],
                    [line.at(xs[0]), line.at(xs[-1])],
                    computed=True,
                )
            )
            fit = "" if line.r2 is None else f", r² {line.r2:.3f}"
            notes.append(f"{method}: {line.slope:.3g} ms a prompt token{fit}, n = {line.n}")
    return (
        Chart(
            "Time to first token by length of prompt",
            "evaluated prompt tokens",
            "TTFT, ms",
            series,
            "scatter",
            notes=notes,
        )
        if series
        else None
    )


def _timed(answers: tuple[Answer, ...]) -> bool:
    return any(each.ttft_ns is not None and each.evaluated_tokens for each in answers)


def _prompt_point(answers: tuple[Answer, ...]) -> tuple[float, float, float, float]:
    times = [each.ttft_ns / 1e6 for each in answers if each.ttft_ns is not None]
    tokens = median(each.evaluated_tokens for each in answers if each.evaluated_tokens)
    return float(tokens), median(times), min(times), max(times)


def _by_case(result: Result, measure: str) -> Chart | None:
    if len(result.case_names) * len(result.methods) < FEWEST:
        return None
    label, unit = MEASURES[measure].label, MEASURES[measure].unit
    series = [
        _spread(
            method,
            result.case_names,
            [result.values(measure, case, method) for case in result.case_names],
        )
        for method in result.methods
    ]
    notes = [f"median, lowest to highest of {_counts(result)} runs"]
    return Chart(f"{label.capitalize()} by prompt", "prompt", unit, series, "bar", notes=notes)


def _sweep(result: Result) -> Chart | None:
    swept = result.plan.swept if result.plan else ""
    if not swept:
        return None
    series = []
    for name, methods in _curves(result, swept).items():
        xs = [_number(value) for value, _ in methods]
        series.append(
            _spread(name, xs, [result.totals("decode_tps", method) for _, method in methods])
        )
    return Chart(
        f"Decode by {swept}",
        swept,
        "tok/s",
        series,
        best=_best(series),
        notes=[f"median, lowest to highest of {_counts(result)} runs", *left_out(result)],
    )


def _speedup(result: Result) -> Chart | None:
    """Over plain decoding: as measured, and as costs and acceptance of the same runs predict."""
    swept = result.plan.swept if result.plan else ""
    if swept != "gamma" or result.path is None:
        return None
    predicted = _predicted(result)
    series = []
    for name, methods in _curves(result, swept).items():
        xs = [_number(value) for value, _ in methods]
        ratios = [beside(result, method).total for _, method in methods]
        series.append(
            Series(
                f"{name}, measured",
                xs,
                [each.value for each in ratios],
                [each.low for each in ratios],
                [each.high for each in ratios],
            )
        )
        series.append(
            Series(
                f"{name}, predicted",
                xs,
                [predicted.get(method) for _, method in methods],
                computed=True,
            )
        )
    return Chart(
        "Speed-up over plain decoding by γ",
        "γ, drafted tokens a step",
        "×",
        series,
        best=_best(series[::2]),
        notes=["intervals of 90 %", *left_out(result)],
    )


def _predicted(result: Result) -> dict[str, float | None]:
    """By method, of its measured answers alone."""
    last = {_key(run): at for at, run in enumerate(_runs(result)) if run.measured}
    methods = {at: method for (_, method, _), at in last.items()}
    meters = {method: CostMeter() for method in result.methods}
    for at, events in enumerate(_answers(result)):
        for event in events if methods.get(at) in meters else ():
            meters[methods[at]].add(event)
    plain = meters[result.methods[0]].costs().plain_ns
    return {method: meter.costs(plain).predicted for method, meter in meters.items()}


def _answers(result: Result) -> Iterator[list[Event]]:
    """The events of each of `runs`, one answer at a time."""
    events: list[Event] | None = None
    for record in _raw(result):
        if isinstance(record, Turn) or (isinstance(record, Trial) and record.case):
            events = []
        elif isinstance(record, Trial):
            events = None
        elif events is not None and not isinstance(record, NOT_EVENTS):
            events.append(record)
            if isinstance(record, Stop):
                yield events
                events = None


def _key(each: Run | Answer) -> tuple[str, str, int]:
    return each.case, each.method, each.number


def _curves(result: Result, swept: str) -> dict[str, list[tuple[str, str]]]:
    """For each drafter, values of the setting and the method that has each."""
    found: dict[str, list[tuple[str, str]]] = {}
    for method in result.plan.methods if result.plan else ():
        if swept in method.changes:
            value = method.changes[swept]
            drafter = str(method.changes.get("drafter", "")) if swept != "drafter" else ""
            named = drafter or (result.plan.spec.drafter if result.plan else "")
            found.setdefault(named, []).append((_word(value), method.name))
    return found


def _steps(result: Result) -> Chart | None:
    """Step by step in the longest answer of each method: what it emitted over the time it took."""
    longest = {}
    for method in result.methods:
        if mine := of_method(result, method):
            longest[method] = max(mine, key=lambda each: each.tokens)
    wanted = set(map(_key, longest.values()))
    found = {
        run.method: _rates(run) for run in _runs(result) if run.measured and _key(run) in wanted
    }
    series = [each for each in found.values() if len(each.xs) >= FEWEST]
    if not series:
        return None
    cases = sorted({each.case for each in longest.values()})
    return Chart(
        "Decode step by step in the longest answer",
        "token",
        "tok/s",
        series,
        notes=[f"prompt: {', '.join(cases)}"],
    )


def _rates(run: Run) -> Series:
    xs, ys = [], []
    at = run.metrics.first_tokens
    for gap in run.metrics.gaps:
        at += gap.tokens
        if gap.ns:
            xs.append(float(at))
            ys.append(gap.tokens * SECOND / gap.ns)
    return Series(run.method, xs, ys)


def _acceptance(result: Result) -> Chart | None:
    series = []
    for method in result.methods:
        places = positions(of_method(result, method))
        if len(places) >= FEWEST:
            at = [float(place) for place in range(1, len(places) + 1)]
            series.append(Series(method, at, [each.acceptance for each in places]))
    if not series:
        return None
    return Chart("Acceptance by place in the draft", "place", "share kept", series)


def _spread(name: str, xs: Sequence[float | str], values: Sequence[Sequence[float]]) -> Series:
    return Series(
        name,
        xs,
        [median(each) if each else None for each in values],
        [min(each, default=None) for each in values],
        [max(each, default=None) for each in values],
    )


def _best(series: list[Series]) -> tuple[float | str, float] | None:
    points = [(y, x) for each in series for x, y in zip(each.xs, each.ys, strict=True) if y]
    if not points:
        return None
    y, x = max(points, key=lambda each: each[0])
    return x, y


def _counts(result: Result) -> str:
    found = [len(result.of(case, way)) for case in result.case_names for way in result.methods]
    return counts([each for each in found if each] or [0])


def _word(value: object) -> str:
    return "auto" if value is None else str(value)


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _raw(result: Result) -> Iterator[Record]:
    return only_records(read(result.path)) if result.path else iter(())


def _runs(result: Result) -> Iterator[Run]:
    yield from runs(_raw(result))


def _has_points(chart: Chart) -> bool:
    return sum(len(chart.points(each)) for each in chart.series) >= FEWEST
