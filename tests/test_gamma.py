"""Policies of the draft length, on a virtual clock: what a step takes is a formula, so a loss is
exact. Times are in plain passes a token; less is better."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from statistics import mean
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.gamma import MOST, Auto, Heuristic, speedup
from tokenhud.engines.loop import Block, Fixed, Gamma

PLAIN_NS = 20_000_000
SHAPES: dict[str, Callable[[int], float]] = {
    "line": lambda k: 1 + 0.06 * k,
    "flat": lambda k: 1 + 0.01 * k,
    "jump": lambda k: 1 + 0.03 * k + (0.25 if k else 0),
    "steep": lambda k: 1 + 0.4 * k,
    "knee": lambda k: 1 + 0.04 * k + 0.26 * max(0, k - 7),
}
LENGTHS = range(MOST + 1)


class Machine(NamedTuple):
    v: Callable[[int], float] = SHAPES["line"]
    c: float = 0.0
    noise: float = 0.04
    outliers: float = 0.01  # passes that take ten times as long
    slow: float = 1.0  # all costs, in turns of `spell` steps
    spell: int = 60

    def time(self, drafted: int) -> float:
        return drafted * self.c + self.v(drafted)


class Pass(NamedTuple):
    time: float  # in plain passes, without noise
    asked: int
    block: Block
    token: int  # of the text, the first that it emitted


def steps(
    policy: Gamma,
    text: list[bool],
    machine: Machine,
    seed: int = 0,
    answer: int = 0,
    silent: float = 0.0,
) -> Iterator[Pass]:
    """`text` says of each token whether a guess of it is right. Every `answer` tokens a prompt of
    the time of ten passes is read, and the drafter is `silent` at this share of the steps."""
    dice = random.Random(seed)
    token, read = 0, -1
    for number in range(len(text)):
        asked = policy.next()
        drafted = 0 if dice.random() < silent else min(asked, len(text) - token - 1)
        kept = 0
        while kept < drafted and text[token + kept]:
            kept += 1
        speed = machine.slow if number // machine.spell % 2 else 1.0
        wobble = max(0.3, dice.gauss(1.0, machine.noise))
        wobble *= 10 if dice.random() < machine.outliers else 1
        pass_ns = machine.v(drafted) * speed * wobble * PLAIN_NS
        if answer and token // answer != read:
            pass_ns, read = pass_ns + 10 * PLAIN_NS, token // answer
        draft_ns = drafted * machine.c * speed * PLAIN_NS
        block = Block((0,) * (kept + 1), drafted, kept, round(draft_ns), round(pass_ns))
        policy.observe(block)
        yield Pass(machine.time(drafted), asked, block, token)
        token += kept + 1
        if token >= len(text):
            return


def spent(passes: list[Pass]) -> float:
    """Time a token."""
    return sum(each.time for each in passes) / sum(len(each.block.tokens) for each in passes)


def steady(p: float, n: int, seed: int) -> list[bool]:
    dice = random.Random(seed)
    return [dice.random() < p for _ in range(n)]


def changing(low: float, high: float, dwell: int, n: int, seed: int) -> list[bool]:
    """Stretches of about `dwell` tokens that are hard and easy to guess, in turn."""
    dice = random.Random(seed)
    text: list[bool] = []
    while len(text) < n:
        for p in (low, high):
            text += steady(p, 5 + round(dice.expovariate(1 / dwell)), dice.randrange(2**32))
    return text[:n]


def best(p: float, machine: Machine) -> float:
    """Time a token of the best fixed length, plain decoding included."""
    return 1 / max(speedup(k, p, machine.c, machine.v) for k in LENGTHS)


def test_speedup_is_leviathans_where_a_pass_costs_the_same() -> None:
    assert speedup(4, 0.8, 0.0, lambda _: 1.0) == pytest.approx((1 - 0.8**5) / (1 - 0.8))
    assert speedup(4, 0.8, 0.1, lambda _: 7.0) == pytest.approx((1 - 0.8**5) / 0.2 / 1.4)


def test_speedup_takes_acceptance_by_position_and_costs_by_count() -> None:
    assert speedup(2, [0.5, 0.8, 0.9], 0.25, [20, 25, 30]) == pytest.approx((1 + 0.5 + 0.4) / 2.0)
    assert speedup(0, [], 0.25, [20]) == 1.0
    assert speedup(3, 0, 0.0, [1, 1, 1, 2]) == 0.5


@given(st.floats(0, 1), st.integers(0, 16), st.floats(0, 2), st.floats(0, 1))
def test_speedup_never_exceeds_what_was_drafted(p: float, k: int, c: float, slope: float) -> None:
    value = speedup(k, p, c, lambda n: 1 + slope * n)
    assert 0 < value <= 1 + k


def outcome(drafted: int, kept: int) -> Block:
    return Block((0,) * (kept + 1), drafted, kept, 1000, PLAIN_NS)


def test_the_heuristic_adds_two_above_seven_tenths_and_else_takes_one() -> None:
    policy = Heuristic()
    seen = [policy.next()]
    for block in (outcome(4, 4), outcome(6, 4), outcome(10, 7), outcome(0, 0), outcome(4, 3)):
        policy.observe(block)
        seen.append(policy.next())
    assert seen == [4, 6, 5, 4, 4, 6]


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=40))
def test_the_heuristic_stays_within_1_and_16(start: int, kept: list[bool]) -> None:
    policy = Heuristic(start)
    for each in kept:
        assert 1 <= policy.next() <= MOST
        policy.observe(outcome(policy.next(), policy.next() * each))


@pytest.mark.parametrize("c", [0.0, 0.2])
@pytest.mark.parametrize("shape", SHAPES)
def test_auto_is_close_to_the_best_fixed_length(shape: str, c: float) -> None:
    machine = Machine(SHAPES[shape], c)
    for p in (0.0, 0.1, 0.3, 0.6, 0.8, 0.95):
        times = [spent([*steps(Auto(), steady(p, 3000, s), machine, s)]) for s in (1, 2, 3)]
        assert mean(times) < 1.07 * best(p, machine), f"acceptance {p}"


@pytest.mark.parametrize("c", [0.0, 0.2, 1.5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [150, 1500])
def test_where_nothing_is_accepted_auto_loses_less_than_a_twentieth(
    shape: str, c: float, length: int
) -> None:
    passes = [*steps(Auto(), [False] * length, Machine(SHAPES[shape], c))]
    assert spent(passes) < 1.05


@pytest.mark.parametrize("c", [0.0, 0.2])
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.97), (0.3, 0.95), (0.0, 0.9)])
@pytest.mark.parametrize("dwell", [30, 100, 400])
def test_where_the_text_changes_auto_beats_the_best_fixed_length(
    low: float, high: float, dwell: int, c: float
) -> None:
    machine = Machine(SHAPES["line"], c)
    texts = [changing(low, high, dwell, 3000, seed) for seed in (1, 2)]
    auto = mean(spent([*steps(Auto(), text, machine)]) for text in texts)
    fixed = min(mean(spent([*steps(Fixed(k), text, machine)]) for text in texts) for k in LENGTHS)
    assert auto < fixed


def test_auto_follows_from_prose_to_copied_text_and_back() -> None:
    machine = Machine(c=0.02, outliers=0.0)
    prose, copied = steady(0.05, 400, 1), [True] * 400
    passes = [*steps(Auto(), prose + copied + prose, machine)]
    first = next(i for i, each in enumerate(passes) if each.token >= 400)
    after = next(i for i, each in enumerate(passes) if each.token >= 800)
    assert next(i for i, each in enumerate(passes[first:]) if each.asked >= 8) < 25
    assert all(each.asked >= 8 for each in passes[after - 10 : after])
    assert spent(passes[after : after + 100]) < 1.15
    assert mean(each.asked for each in passes[after + 50 : after + 250]) < 0.5


def test_tries_are_spaced_by_what_they_cost() -> None:
    def tries(shape: str) -> int:
        passes = [*steps(Auto(), [False] * 1500, Machine(SHAPES[shape]))]
        return sum(each.asked > 0 for each in passes[500:])

    assert tries("flat") > 2 * tries("jump") > tries("steep") > 5


def test_a_silent_drafter_costs_nothing_and_is_asked_on() -> None:
    passes = [*steps(Auto(), steady(0.9, 800, 1), Machine(), silent=0.9)]
    drafted = [each for each in passes if each.block.drafted]
    assert mean(each.asked > 0 for each in passes[20:]) > 0.9
    assert mean(each.block.drafted for each in drafted) > 4


def wait(policy: Gamma) -> int:
    """Plain steps until a draft is asked for."""
    for waited in range(2000):
        if policy.next():
            return waited
        policy.observe(outcome(0, 0))
    return 2000


def test_a_drafter_that_reads_for_long_before_it_drafts_is_asked_until_it_does() -> None:
    policy = Auto()
    list(steps(policy, [False] * 400, Machine(c=0.3)))
    assert wait(policy) < 50
    for _ in range(3):
        policy.observe(Block((0,), 0, 0, 3 * PLAIN_NS, PLAIN_NS))
        assert policy.next() > 0
    policy.observe(outcome(policy.next(), 0))
    assert 300 < wait(policy) < 600  # what the reading took is a fiftieth of that


@pytest.mark.parametrize(("slow", "most"), [(1.6, 1.06), (4.0, 1.1)])
def test_a_machine_that_slows_down_at_times_does_not_mislead(slow: float, most: float) -> None:
    losses = [
        spent([*steps(Auto(), steady(p, 2000, seed), machine, seed)]) / best(p, machine)
        for shape in ("line", "jump")
        for c in (0.0, 0.2)
        for machine in [Machine(SHAPES[shape], c, slow=slow)]
        for p in (0.3, 0.6, 0.95)
        for seed in (1, 2)
    ]
    assert mean(losses) < most


class Announced(Auto):
    """Is told where an answer begins, every so many tokens."""

    def __init__(self, answer: int) -> None:
        super().__init__()
        self._answer, self._emitted = answer, 0

    def observe(self, block: Block) -> None:
        super().observe(block)
        before, self._emitted = self._emitted, self._emitted + len(block.tokens)
        if before // self._answer != self._emitted // self._answer:
            self.begin()


@pytest.mark.parametrize("p", [0.0, 0.3, 0.6, 0.95])
def test_reading_prompts_is_not_taken_for_the_cost_of_a_pass(p: float) -> None:
    passes = [*steps(Announced(40), steady(p, 3000, 1), Machine(), answer=40)]
    assert spent(passes) < 1.08 * best(p, Machine())


blocks = st.builds(
    lambda drafted, kept, cut, draft_ns, pass_ns: Block(
        (0,) * max(1, min(kept, drafted) + (not cut)),
        drafted,
        min(kept, drafted),
        draft_ns,
        pass_ns,
    ),
    st.integers(0, 70),
    st.integers(0, 70),
    st.booleans(),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
)


@given(st.integers(1, 64), st.lists(blocks, max_size=60))
def test_auto_takes_any_block_and_depends_on_nothing_else(most: int, given: list[Block]) -> None:
    one, other = Auto(most), Auto(most)
    for block in given:
        asked = one.next()
        assert 0 <= asked <= most
        assert asked == other.next()
        one.observe(block)
        other.observe(block)


def test_a_draft_that_ends_with_a_stop_token_was_not_wrong() -> None:
    """Eight are drafted, the stop token is the fourth: what follows was never checked."""
    cut, corrected = Auto(), Auto()
    for policy, emitted in ((cut, 4), (corrected, 5)):
        for _ in range(6):
            policy.observe(outcome(0, 0))
        for _ in range(10):
            policy.observe(Block((0,) * emitted, 8, 4, 0, 2 * PLAIN_NS))
            policy.observe(outcome(0, 0))
    assert cut.next() > corrected.next()
