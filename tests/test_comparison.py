from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError, Event, Loaded, Request
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.comparison import TOTAL, beside, compare
from tokenhud.sessions.bench.experiment import Experiment
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case, Plan
from tokenhud.sessions.bench.recorder import Recorder
from tokenhud.sessions.bench.replaying import read_replay
from tokenhud.sessions.bench.result import RAW, Result, read_result, result
from tokenhud.sessions.records import Header, Record

from .fakes import MODEL, MS, Beat, ScriptedEngine, chat_with, pieces, words

CASES = tuple(Case(name, f"The {name} words.") for name in ("one", "two", "three", "four"))
PLAN = Plan("bench", methods(["plain"]), Spec(), Sampling(), runs=5, warmup=1)
TURNS = replace(PLAN, methods=methods(["plain", "suffix"]))
MACHINE = {
    "machine": "x86_64",
    "system": "Linux",
    "release": "6.1",
    "python_version": "3.11.9",
    "cpu": {"name": "A processor", "usable": 2.0},
    "gpu": None,
    "ram_total": 8 << 30,
}
HEADER = Header(
    1, "", "1.0", {"machine_info": MACHINE, "packages": {"torch": "2.9"}}, Spec(), Sampling()
)
OPENED = Spec(target="native", threads=2, context=2048, device="cpu")
LOADED = Loaded(0, MODEL, OPENED, MS, {"weights": 1})
SAID = "It says what it says, nothing more."

JUDGED = ("decode_tps", 0.1)


class Asked(NamedTuple):
    drafter: str
    message: str
    number: int  # of the pass; 0 is a warm-up


Ms = Callable[[Asked], float]  # milliseconds a token


class Timed(ScriptedEngine):
    """Says the same to everything, as fast as it is told to."""

    def __init__(self, ms: Ms, first_ms: Ms, said: str, loaded: Loaded) -> None:
        super().__init__()
        self._loaded = loaded
        self._ms, self._first_ms, self._said = ms, first_ms, pieces(said)
        self._asked: Counter[tuple[str, str]] = Counter()

    def load(self, _: Spec) -> Iterator[Event]:
        yield self._loaded

    def stream(self, request: Request) -> Iterator[Event]:
        key = request.spec.drafter, request.messages[-1].content
        asked = Asked(*key, self._asked[key])
        self._asked[key] += 1
        first, rest = self._first_ms(asked), self._ms(asked)
        beats = [Beat((each,), ms=rest if at else first) for at, each in enumerate(self._said)]
        self._scripts = [beats]
        return super().stream(request)


def steady(ms: float) -> Ms:
    return lambda _: ms


def noisy(ms: float, noise: float, seed: int) -> Ms:
    source = random.Random(seed)
    return lambda _: ms * source.lognormvariate(0, noise)


FIRST = steady(20)


def records(
    ms: Ms,
    plan: Plan = PLAN,
    cases: Sequence[Case] = CASES,
    first_ms: Ms = FIRST,
    said: str = SAID,
    header: Header = HEADER,
    loaded: Loaded = LOADED,
) -> list[Record]:
    """Of a run on the virtual clock."""
    found: list[Record] = [header, plan, *cases]
    engine = Timed(ms, first_ms, said, loaded)
    list(Experiment(engine, plan, cases, found.append).run())
    return found


def measured(ms: Ms, plan: Plan = PLAN) -> Result:
    return result(records(ms, plan))


def test_the_same_run_twice_passes():
    found = compare(measured(steady(25)), measured(steady(25)), *JUDGED)
    assert (found.status, found.exit_status, found.improved) == ("pass", 0, False)
    assert found.differences == ()
    assert [each.case for each in found.rows] == [TOTAL, "one", "two", "three", "four"]
    assert {each.ratio.value for each in found.rows} == {1.0}
    assert {(each.here, each.there) for each in found.rows} == {(40.0, 40.0)}


def test_20_percent_slower_is_a_regression_and_the_reason_has_the_numbers():
    found = compare(measured(steady(31.25)), measured(steady(25)), *JUDGED)
    assert (found.status, found.exit_status, found.improved) == ("regression", 1, False)
    assert found.rows[0].ratio.value == pytest.approx(0.8)
    for said in ("All cases", "decode 32 against 40 tok/s", "0.800", "n = 5 and 5", "0.900"):
        assert said in found.reason
    assert "And 1 more case." in found.reason


def test_faster_passes_and_is_an_improvement():
    found = compare(measured(steady(20)), measured(steady(25)), *JUDGED)
    assert (found.status, found.improved) == ("pass", True)


def test_two_runs_are_too_few():
    few = replace(PLAN, runs=2)
    found = compare(measured(steady(50), few), measured(steady(25), few), *JUDGED)
    assert (found.status, found.exit_status) == ("inconclusive", 2)
    assert "needs 3 samples a side; there are 2 and 2" in found.reason
    assert found.rows[0].ratio.value == pytest.approx(0.5)


def test_another_model_is_an_error_and_gives_no_figure():
    other = replace(LOADED, model=replace(MODEL, sha256="ef" * 32))
    found = compare(
        result(records(steady(25), loaded=other)), measured(steady(25)), "decode_tps", 0.1
    )
    assert (found.status, found.exit_status) == ("error", 3)
    assert found.rows == ()
    assert "Model file: Script efefefefefef here, Script abababababab there." in found.reason


def test_one_slow_case_of_four_is_a_regression():
    def slow(asked: Asked) -> float:
        return 31.25 if asked.message == CASES[2].text else 25

    found = compare(measured(slow), measured(steady(25)), *JUDGED)
    assert {each.case: each.verdict.status for each in found.rows} == {
        TOTAL: "pass",
        "one": "pass",
        "two": "pass",
        "three": "regression",
        "four": "pass",
    }
    assert found.status == "regression"
    assert "Three: decode 32 against 40" in found.reason


def test_a_single_case_of_many_must_be_further_beyond_noise():
    """Five runs, all of them slower, happen by chance once in 252 times; of 20 cases, to one in
    13 times."""
    cases = tuple(Case(f"case {number}", f"Number {number}.") for number in range(20))
    noise = noisy(1, 0.001, seed=0)

    def slow(asked: Asked):
        return noise(asked) * (31.25 if asked.message == cases[7].text else 25)

    sides = [result(records(ms, PLAN, cases)) for ms in (slow, noisy(25, 0.001, seed=1))]
    found = compare(*sides, *JUDGED)
    assert found.status == "pass"
    assert found.rows[8].verdict.status == "inconclusive"


def statuses_of_50(candidate_ms: float, noise: float) -> Counter[str]:
    """Of as many pairs of runs, each with noise of its own."""

    def side(ms: float, seed: int) -> Result:
        return result(records(noisy(ms, noise, seed), PLAN, CASES[:2]))

    pairs = ((side(candidate_ms, seed), side(25, 1000 + seed)) for seed in range(50))
    return Counter(compare(*pair, *JUDGED).status for pair in pairs)


def test_noise_of_15_percent_is_never_a_regression():
    assert statuses_of_50(25, noise=0.15) == {"pass": 13, "inconclusive": 37}


def test_30_percent_slower_is_found_in_noise_of_5_percent():
    assert statuses_of_50(25 / 0.7, noise=0.05) == {"regression": 50}


@pytest.mark.parametrize(("first", "status"), [(20, "pass"), (50, "regression"), (1, "pass")])
def test_less_time_to_the_first_token_is_better(first: float, status: str):
    reference = measured(steady(25))
    found = compare(result(records(steady(25), first_ms=steady(first))), reference, "ttft_ms", 0.1)
    assert found.status == status
    assert found.improved == (first < 20)
    assert found.rows[0].here == 100 + first


def test_methods_of_one_result_are_compared_pass_by_pass():
    """The machine slows down by half from pass to pass, which both methods feel."""

    def drifting(asked: Asked) -> float:
        return (20 if asked.drafter == "suffix" else 30) * 1.5**asked.number

    both = measured(drifting, TURNS)
    found = compare(both, both, *JUDGED, "suffix", "plain")
    assert (found.status, found.improved) == ("pass", True)
    total = found.rows[0].ratio
    assert total.paired
    assert (total.value, total.low, total.high) == pytest.approx((1.5, 1.5, 1.5))
    assert [each.name for each in found.differences] == ["drafter"]
    assert compare(both, both, *JUDGED, "plain", "suffix").status == "regression"


def test_one_folder_read_twice_is_one_result(tmp_path: Path):
    recorder = Recorder(tmp_path / RAW, new=True)
    for each in records(steady(25), TURNS):
        recorder.append(each)
    recorder.close()
    found = compare(read_result(tmp_path), read_result(tmp_path), *JUDGED, "suffix", "plain")
    assert found.rows[0].ratio.paired
    other = result(records(steady(25), TURNS))
    assert not compare(read_result(tmp_path), other, *JUDGED).rows[0].ratio.paired


def test_passes_that_one_method_lacks_are_left_out_and_told():
    found = records(steady(25), TURNS)
    ends = [at for at, each in enumerate(found) if getattr(each, "reason", "")]
    cut = result(found[: ends[-1]])  # in the last answer of suffix in the fifth pass
    judged = compare(cut, cut, *JUDGED, "suffix", "plain")
    swapped = compare(cut, cut, *JUDGED, "plain", "suffix")
    for each in (judged.rows[0].ratio, swapped.rows[0].ratio):
        assert (each.n_candidate, each.n_reference) == (4, 4)
    (dropped,) = [each for each in judged.differences if each.name.startswith("passes")]
    assert (dropped.here, dropped.there, dropped.matters) == ("1, 2, 3, 4", "1, 2, 3, 4, 5", False)


def test_cases_of_one_side_are_named_and_left_out():
    fewer = result(records(steady(25), PLAN, CASES[:3]))
    more = result(records(steady(25), PLAN, CASES[1:]))
    found = compare(fewer, more, *JUDGED)
    assert [each.case for each in found.rows] == [TOTAL, "two", "three"]
    (only,) = found.differences
    assert (only.name, only.here, only.there, only.matters) == (
        "cases of one side only",
        "one",
        "four",
        False,
    )
    apart = compare(fewer, result(records(steady(25), PLAN, CASES[3:])), *JUDGED)
    assert apart.exit_status == 3


def test_nothing_measured_is_an_error():
    found = compare(result([HEADER]), measured(steady(25)), *JUDGED)
    assert found.exit_status == 3


class Answering(ScriptedEngine):
    """As `script` says for a drafter, a message and the number of its answer."""

    def __init__(self, script: Callable[[Asked], list[Beat | EngineError]]) -> None:
        super().__init__()
        self._script = script
        self._asked: Counter[tuple[str, str]] = Counter()

    def load(self, _: Spec) -> Iterator[Event]:
        yield LOADED

    def stream(self, request: Request) -> Iterator[Event]:
        key = request.spec.drafter, request.messages[-1].content
        self._scripts = [self._script(Asked(*key, self._asked[key]))]
        self._asked[key] += 1
        return super().stream(request)


def answered(script: Callable[[Asked], list[Beat | EngineError]], plan: Plan = TURNS) -> Result:
    found: list[Record] = [HEADER, plan, *CASES]
    list(Experiment(Answering(script), plan, CASES, found.append).run())
    return result(found)


def failing(numbers: Collection[int]) -> Callable[[Asked], list[Beat | EngineError]]:
    """The second case by suffix, its answers of these numbers."""

    def script(asked: Asked) -> list[Beat | EngineError]:
        fails = asked.drafter == "suffix" and asked.message == CASES[1].text
        if fails and asked.number in numbers:
            return [EngineError("Out of memory.", "Free some.")]
        return [*words(SAID)]

    return script


def test_a_case_that_only_the_reference_could_answer_is_an_error():
    both = answered(failing(range(9)))
    alone = answered(failing(range(9)), replace(TURNS, methods=methods(["suffix"])))
    for found in (
        compare(both, both, *JUDGED, "suffix", "plain"),
        compare(alone, both, *JUDGED),
    ):
        assert (found.status, found.exit_status, found.rows) == ("error", 3, ())
        assert "Case two: failed (Out of memory. Free some.) here, answered there." in found.reason
    assert compare(both, both, *JUDGED, "plain", "suffix").status == "pass"
    assert set(beside(both, "suffix").cases) == {"one", "three", "four"}


def test_what_failed_once_and_was_answered_then_is_judged():
    both = answered(failing([1]))
    found = compare(both, both, *JUDGED, "suffix", "plain")
    assert found.status == "pass"
    assert found.rows[0].ratio.n_candidate == 4


def test_a_case_that_was_planned_and_never_answered_is_an_error():
    found = records(steady(25))
    ends = [at for at, each in enumerate(found) if getattr(each, "reason", "")]
    cut = result(found[: ends[6]])  # after two cases of the first pass
    judged = compare(cut, measured(steady(25)), *JUDGED)
    assert judged.exit_status == 3
    assert "Case three and 1 more: no answer here, answered there." in judged.reason


def one_step(asked: Asked) -> list[Beat | EngineError]:
    """Suffix answers the slow case in one step, which has no decode rate."""
    if asked.message != CASES[1].text:
        return [*words(SAID)]
    if asked.drafter == "suffix":
        return [Beat(tuple(pieces(SAID)), ms=2000)]
    return [*words(SAID, ms=250)]


def test_a_total_is_over_the_cases_that_have_the_measure_on_both_sides():
    both = answered(one_step)
    found = compare(both, both, *JUDGED, "suffix", "plain")
    total = found.rows[0]
    assert (total.here, total.there, total.ratio.value) == (40, 40, 1)
    assert not found.improved
    (left_out,) = [each for each in found.differences if each.name.startswith("cases without")]
    assert (left_out.here, left_out.there, left_out.matters) == ("two", "none", False)
    assert beside(both, "suffix").total.value == 1
    for method in both.methods:
        assert both.totals("decode_tps", method) == [40] * 5
        assert len(set(both.totals("e2e_tps", method))) == 1
    assert both.totalled["e2e_tps"] == ("one", "two", "three", "four")


def test_a_case_that_lacks_the_measure_in_one_pass_is_in_no_total():
    def script(asked: Asked) -> list[Beat | EngineError]:
        slow = asked.message == CASES[1].text
        once = slow and asked.number == 3
        return [Beat(tuple(pieces(SAID)))] if once else [*words(SAID, ms=250 if slow else 25)]

    sides = [answered(each, PLAN) for each in (script, lambda _: [*words(SAID)])]
    found = compare(*sides, *JUDGED)
    assert (found.rows[0].here, found.rows[0].there) == (40, 40)
    assert sides[0].totals("decode_tps", "plain") == [40] * 5
    assert len(sides[0].values("decode_tps", "two", "plain")) == 4


def test_a_measure_that_was_not_taken_is_inconclusive():
    found = compare(measured(steady(25)), measured(steady(25)), "peak_vram", 0.1)
    assert found.exit_status == 2
    assert "there are 0 and 0" in found.reason


def test_a_chat_has_one_sample_a_case_and_its_figures_are_told(tmp_path: Path):
    logs = []
    for name in ("a", "b"):
        chat = chat_with(ScriptedEngine(), tmp_path / name)
        for text in ("First?", "Second?", "Third?"):
            list(chat.ask(text))
        assert chat.log.path
        logs.append(chat.log.path)
        chat.close()
    here, there = map(read_result, logs)
    found = compare(here, there, *JUDGED)
    assert (found.status, found.exit_status) == ("inconclusive", 2)
    assert "there are 1 and 1" in found.reason
    assert [each.case for each in found.rows] == [TOTAL, "turn 2", "turn 3"]
    assert found.rows[0].ratio.value == 1
    assert [(each.name, each.here) for each in found.differences if "cold" in each.name] == [
        ("cold answers, left out", "1")
    ]

    said = read_replay(logs[0])
    plan = replace(PLAN, purpose="replay", spec=said.spec, sampling=said.sampling)
    again = replace(plan, methods=methods(["recorded"]))
    assert here.header
    fed = records(steady(25), again, said.cases, FIRST, "Hello there.", here.header)
    replayed = result(fed)
    found = compare(replayed, here, *JUDGED)
    assert found.exit_status == 2
    assert "there are 5 and 1" in found.reason
    assert found.rows[0].here == found.rows[0].there == 40


def test_a_method_is_set_beside_the_first_one():
    def faster(asked: Asked) -> float:
        return 12.5 if asked.drafter == "suffix" else 25

    both = measured(faster, TURNS)
    found = beside(both, "suffix")
    assert (found.method, found.reference) == ("suffix", "plain")
    assert (found.total.value, found.total.low, found.total.paired) == (2, 2, True)
    assert {case: each.value for case, each in found.cases.items()} == dict.fromkeys(
        ("one", "two", "three", "four"), 2.0
    )
    assert beside(both, "plain").total.value == 1
    assert beside(both, "suffix", "tpot_ms").total.value == 0.5


def test_what_is_unlike_is_set_beside_nothing():
    plan = replace(PLAN, methods=methods(["length=3", "length=5"]))
    found = beside(measured(steady(25), plan), "length=5")
    assert found.total.value is None
    assert found.cases == {}
    assert [each.name for each in found.differences if each.matters] == ["length"]


def test_what_does_not_exist_is_told():
    side = measured(steady(25))
    with pytest.raises(EngineError, match="no method none"):
        compare(side, side, *JUDGED, "none")
    with pytest.raises(EngineError, match="no measure speed"):
        compare(side, side, "speed", 0.1)


runs = st.integers(1, 6)
noises = st.floats(0, 0.5)
seeds = st.integers(0, 2**32)


@settings(max_examples=25, deadline=None)
@given(runs=runs, noise=noises, seed=seeds, threshold=st.floats(0, 0.5))
def test_nothing_is_a_regression_of_itself(runs: int, noise: float, seed: int, threshold: float):
    side = result(records(noisy(25, noise, seed), replace(PLAN, runs=runs), CASES[:2]))
    assert compare(side, side, "decode_tps", threshold).status in ("pass", "inconclusive")


@settings(max_examples=25, deadline=None)
@given(runs=st.integers(3, 6), noise=st.floats(0, 0.1), seed=seeds, times=st.floats(1.5, 4))
def test_the_other_way_round_an_improvement_is_a_regression(
    runs: int, noise: float, seed: int, times: float
):
    """Noise of at most 0.1 leaves them apart, so that every p is as low as it can be."""
    plan = replace(PLAN, runs=runs)
    source = random.Random(seed)
    slow, fast = (
        result(records(lambda _: ms * (1 + source.random() * noise), plan, CASES[:1]))  # noqa: B023
        for ms in (25 * times, 25)
    )
    forward, back = (compare(*pair, "decode_tps", 0) for pair in ((fast, slow), (slow, fast)))
    assert (forward.status, forward.improved) == ("pass", True)
    assert (back.status, back.improved) == ("regression", False)
