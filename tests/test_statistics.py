from __future__ import annotations

import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.sessions.bench.fit import fit_line
from tokenhud.sessions.bench.statistics import Ratio, ratio, summarise, verdict

BASELINE = [3.447, 3.157, 5.94, 2.77, 2.198]  # seconds a request, as the source lists them
EVEN = [100.0, 101.0, 99.0, 100.5, 99.5]

finite = st.floats(allow_nan=False, allow_infinity=False)
everyday = st.floats(0.01, 1e6)
runs = st.lists(everyday, min_size=1, max_size=30)


def faster(values: list[float], factor: float) -> list[float]:
    return [each * factor for each in values]


def interval(found: Ratio) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def test_the_listed_baseline_has_the_documented_figures() -> None:
    found = summarise(BASELINE)
    assert found.mean == pytest.approx(3.503, abs=1e-3)
    assert found.median == found.p50 == 3.157
    assert found.outliers == (2,)
    assert found.remarks == ("Outliers are kept in all figures: run 3.",)
    assert found.samples == tuple(BASELINE)
    # Its p95 of 3.447 is the value at index int(0.95 * 4), the method "lower"; we give none of 5.
    assert np.percentile(BASELINE, 95, method="lower") == 3.447
    assert found.p95 is None


@given(runs)
def test_a_summary_is_what_numpy_and_scipy_say(values: list[float]) -> None:
    found = summarise(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.median == pytest.approx(np.median(values))
    assert (found.q1, found.q3) == pytest.approx(tuple(np.percentile(values, [25, 75])))
    assert found.iqr == pytest.approx(scipy.stats.iqr(values), abs=1e-9 * max(values))
    assert (found.min, found.max) == (min(values), max(values))
    if len(values) == 1:
        assert found.std is found.cv is None
    else:
        spread = pytest.approx(np.std(values, ddof=1), abs=1e-9 * max(values))
        assert found.std == spread
        assert found.cv == pytest.approx(scipy.stats.variation(values, ddof=1), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "least", "q"), [("p90", 10, 90), ("p95", 20, 95), ("p99", 100, 99)]
)
def test_a_tail_needs_samples_beyond_it(name: str, least: int, q: int) -> None:
    values = [float(each * each) for each in range(least)]
    assert getattr(summarise(values), name) == pytest.approx(np.percentile(values, q))
    assert getattr(summarise(values[1:]), name) is None


def test_nothing_has_no_figures() -> None:
    found = asdict(summarise([]))
    assert found.pop("n") == 0
    assert found.pop("outliers") == found.pop("samples") == ()
    assert set(found.values()) == {None}


@pytest.mark.filterwarnings("error")
@given(st.lists(finite, max_size=12))
def test_no_finite_samples_give_nan_or_infinity(values: list[float]) -> None:
    found = summarise(values)
    figures = [each for each in asdict(found).values() if isinstance(each, float)]
    figures += found.drift or ()
    assert all(math.isfinite(each) for each in figures)
    assert set(found.outliers) <= set(range(len(values)))
    if values:
        five = (found.min, found.q1, found.median, found.q3, found.max)
        tiny = 1e-300 * max(1.0, *map(abs, values))  # lost where samples are 600 decades apart
        for low, high in pairwise(five):
            assert low is not None
            assert high is not None
            assert low <= high + tiny


@given(finite, st.integers(2, 12))
def test_constant_samples_have_no_spread(value: float, n: int) -> None:
    found = summarise([value] * n)
    assert found.mean == value
    assert found.std == found.iqr == 0
    assert found.outliers == ()
    assert found.drift is None


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_samples_must_be_finite(odd: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarise([1.0, odd])
    with pytest.raises(ValueError, match="finite"):
        ratio([1.0, 2.0], [1.0, abs(odd)])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.randoms())
def test_the_order_of_runs_matters_to_remarks_alone(values: list[int], random) -> None:
    mixed = random.sample(values, len(values))
    one, other = summarise(values), summarise(mixed)
    assert other.std == pytest.approx(one.std)
    same = ("mean", "median", "q1", "q3", "iqr", "min", "max", "p90")
    assert [getattr(other, name) for name in same] == [getattr(one, name) for name in same]
    assert sorted(mixed[n] for n in other.outliers) == sorted(values[n] for n in one.outliers)


@given(runs, st.integers(-30, 30))
def test_another_unit_scales_the_figures(values: list[float], power: int) -> None:
    found, scaled = summarise(values), summarise(faster(values, 2.0**power))
    figures, others = ((each.mean, each.q1, each.q3, each.max) for each in (found, scaled))
    assert others == tuple(each * 2.0**power for each in figures if each is not None)
    assert scaled.cv == found.cv
    assert scaled.outliers == found.outliers


def test_a_drift_is_told_with_its_size() -> None:
    found = summarise([10.0, 10.1, 10.3, 10.4, 11.5, 11.7, 11.8, 12.0])
    tau, p = scipy.stats.kendalltau(range(8), found.samples)
    assert found.drift == pytest.approx((tau, p, 11.75 / 10.2 - 1))
    assert "rose by 15 %" in found.remarks[-1]
    assert "fell by 13 %" in summarise(found.samples[::-1]).remarks[-1]


@pytest.mark.parametrize(
    "values",
    [
        [10.0, 12.0, 10.1, 11.9, 10.2, 11.8, 10.0, 12.1],  # no order
        [10.0, 10.01, 10.02, 10.03, 10.04, 10.05],  # ordered, but by little
        [10.0, 11.0, 12.0, 13.0],  # any 4 values may be in order
        [5.0] * 9,
    ],
)
def test_what_is_no_drift(values: list[float]) -> None:
    assert summarise(values).drift is None


def test_a_first_run_that_stands_apart_is_told() -> None:
    cold = summarise([9.0, 3.0, 3.1, 2.9, 3.0, 3.05])
    assert cold.first_differs
    assert cold.remarks == ("The first run stands apart from the others: it may have been cold.",)
    assert not summarise([3.0, 9.0, 3.1, 2.9, 3.0, 3.05]).first_differs


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(("candidate", "worse"), [(80.0, True), (100.0, False), (125.0, False)])
def test_constant_samples_give_an_interval_of_one_value(
    candidate: float, worse: bool, paired: bool
) -> None:
    found = ratio([candidate] * 5, [100.0] * 5, paired)
    assert found.low == found.value == found.high == candidate / 100
    assert (verdict(found, 0.1, True).status == "regression") is worse


@settings(max_examples=20, deadline=None)
@given(
    st.lists(everyday, min_size=3, max_size=8),
    st.lists(everyday, min_size=3, max_size=8),
    st.integers(-20, 20),
)
def test_a_ratio_follows_its_samples(
    candidate: list[float], reference: list[float], power: int
) -> None:
    found = ratio(candidate, reference)
    median = np.median(candidate) / np.median(reference)
    assert found.value == pytest.approx(median)
    low, high = interval(found)
    assert low <= high
    assert found == ratio(candidate, reference)
    assert interval(ratio(faster(candidate, 2.0**power), reference)) == (
        low * 2.0**power,
        high * 2.0**power,
    )
    assert ratio(reference, candidate).value == pytest.approx(1 / median)


@settings(max_examples=20, deadline=None)
@given(st.lists(finite, max_size=8), st.lists(finite, max_size=8))
def test_a_ratio_is_finite_or_absent(candidate: list[float], reference: list[float]) -> None:
    found = ratio(candidate, reference)
    figures = (found.value, found.low, found.high, found.p_lower, found.p_higher)
    assert all(each is None or math.isfinite(each) for each in figures)
    assert verdict(found, 0.1, True).status in ("pass", "regression", "inconclusive")


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    candidate, reference = [8.1, 8.4, 7.9, 8.8, 8.0, 8.3], [10.2, 9.9, 10.6, 10.1, 9.8]
    random = np.random.default_rng(5)
    ratios = [
        np.median(random.choice(candidate, 6)) / np.median(random.choice(reference, 5))
        for _ in range(4000)
    ]
    found = ratio(candidate, reference)
    assert (found.low, found.high) == pytest.approx(np.percentile(ratios, [5, 95]), rel=0.01)
    lower = scipy.stats.mannwhitneyu(candidate, reference, alternative="less")
    assert found.p_lower == lower.pvalue == pytest.approx(1 / math.comb(11, 5))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    trials = random.lognormal(0, 0.15, (150, 2, 5))
    found = [interval(ratio(*sides)) for sides in trials]
    assert sum(low <= 1 <= high for low, high in found) / len(found) >= 0.88


def test_pairs_leave_a_drift_of_the_machine_alone() -> None:
    drift = np.linspace(1, 2, 8)
    reference = list(100 / drift)
    candidate = list(85 / drift * (1 + 0.005 * np.cos(range(8))))
    sets, pairs = ratio(candidate, reference), ratio(candidate, reference, paired=True)
    assert pairs.paired
    (low, high), (lowest, highest) = interval(pairs), interval(sets)
    assert high - low < 0.02 < highest - lowest
    assert verdict(pairs, 0.1, True).status == "regression"
    assert verdict(sets, 0.1, True).status == "inconclusive"
    wilcoxon = scipy.stats.wilcoxon(np.log(candidate) - np.log(reference), alternative="less")
    assert pairs.p_lower == wilcoxon.pvalue


def test_few_pairs_are_two_sets() -> None:
    candidate, reference = EVEN[:4], [90.0, 92.0, 95.0, 91.0]
    assert ratio(candidate, reference, paired=True) == ratio(candidate, reference)
    with pytest.raises(ValueError, match="as many"):
        ratio(EVEN, reference, paired=True)


@pytest.mark.parametrize("sides", [([], [1.0]), ([1.0], []), ([0.0, 1.0], [1.0]), ([1.0], [-1.0])])
def test_there_is_no_ratio_without_positive_samples(sides: tuple[list[float], list[float]]) -> None:
    found = ratio(*sides)
    assert found.value is found.low is found.high is found.p_lower is None
    assert (found.n_candidate, found.n_reference) == tuple(map(len, sides))


@pytest.mark.filterwarnings("error")
def test_one_sample_has_a_ratio_and_no_interval() -> None:
    found = ratio([8.0], [10.0, 10.0])
    assert (found.value, found.low, found.high) == (0.8, None, None)


@pytest.mark.parametrize(
    ("factor", "higher_is_better", "status", "improved"),
    [
        (0.80, True, "regression", False),
        (0.99, True, "pass", False),
        (1.20, True, "pass", True),
        (1.20, False, "regression", False),
        (1.01, False, "pass", False),
        (0.80, False, "pass", True),
        (0.90, True, "inconclusive", False),  # its interval holds the limit
    ],
)
def test_a_verdict_of_five_runs_a_side(
    factor: float, higher_is_better: bool, status: str, improved: bool
) -> None:
    found = verdict(ratio(faster(EVEN, factor), EVEN), 0.1, higher_is_better)
    assert (found.status, found.improved) == (status, improved)
    assert found.reason.endswith(".")


def test_at_the_limit_is_past_it() -> None:
    assert verdict(ratio([90.0] * 5, [100.0] * 5), 0.1, True).status == "regression"
    assert verdict(ratio([110.0] * 5, [100.0] * 5), 0.1, False).status == "regression"


def test_three_samples_a_side_are_the_fewest() -> None:
    few = verdict(ratio([80.0, 80.1], EVEN), 0.1, True)
    assert few == ("inconclusive", False, "A verdict needs 3 samples a side; there are 2 and 5.")
    assert verdict(ratio([80.0, 80.1, 80.2], EVEN[:3]), 0.1, True).status == "regression"


def test_no_verdict_without_a_ratio() -> None:
    found = verdict(ratio([0.0, 1.0, 2.0], EVEN), 0.1, True)
    assert (found.status, found.improved) == ("inconclusive", False)
    assert "above zero" in found.reason


def test_a_threshold_alone_makes_no_regression() -> None:
    past = Ratio(0.8, 0.75, 0.85, 5, 5, p_lower=0.2, p_higher=0.9)
    assert verdict(past, 0.1, True).status == "inconclusive"
    assert "may be noise (p 0.2)" in verdict(past, 0.1, True).reason
    better = Ratio(1.2, 1.1, 1.3, 5, 5, p_lower=0.9, p_higher=0.2)
    assert verdict(better, 0.1, True)[:2] == ("pass", False)


@given(st.lists(st.tuples(st.integers(0, 2000), everyday), min_size=3, max_size=20))
def test_a_line_is_the_least_squares_one(points: list[tuple[int, float]]) -> None:
    x, y = zip(*points, strict=True)
    found = fit_line(x, y)
    if min(x) == max(x):
        assert found is None
        return
    assert found
    slope, intercept = np.polyfit(x, y, 1)
    size = max(y)
    assert found.slope == pytest.approx(slope, rel=1e-6, abs=1e-6 * size)
    assert found.intercept == pytest.approx(intercept, rel=1e-6, abs=1e-6 * size)
    assert found.n == len(points)
    assert found.r2 is None or -1e-9 <= found.r2 <= 1 + 1e-9


def test_a_perfect_line_and_its_values() -> None:
    found = fit_line([16, 64, 256, 512], [20 + 0.006 * each for each in (16, 64, 256, 512)])
    assert found == pytest.approx((0.006, 20, 1, 4))
    assert found
    assert found.at(1024) == pytest.approx(26.144)


@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1, 2], [3, 4]), ([5, 5, 5], [1, 2, 3]), ([0, 5e-324, 1e-323], [0, 1e308, -1e308])],
)
def test_no_line(x: list[float], y: list[float]) -> None:
    assert fit_line(x, y) is None


def test_a_line_through_huge_numbers() -> None:
    assert fit_line([-1e308, 0, 1e308], [1, 2, 3]) == pytest.approx((1e-308, 2, 1, 3))


def test_a_constant_y_has_a_slope_of_zero_and_no_r2() -> None:
    assert fit_line([1, 2, 3], [5, 5, 5]) == (0, 5, None, 3)
    with pytest.raises(ValueError, match="each x"):
        fit_line([1, 2, 3], [1, 2])


def test_two_samples_have_a_ratio_and_no_interval() -> None:
    found = ratio([50.0, 51.0], [100.0, 99.0, 101.0])
    assert found.value == pytest.approx(0.505)
    assert (found.low, found.high) == (None, None)
