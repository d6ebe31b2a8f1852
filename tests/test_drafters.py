from __future__ import annotations

import gc
import random
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import islice, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.engines.chain import Chain
from tokenhud.engines.drafters import Drafter, Plain
from tokenhud.engines.lookup import Lookup
from tokenhud.engines.loop import Fixed, decode
from tokenhud.engines.ngram import Ngram
from tokenhud.engines.options import OptionError, Sampling
from tokenhud.engines.suffix import Suffix

from .tiny import CountedList, PeriodicTarget, TinyTarget, emitted, run

Make = Callable[[], Drafter]

FOLLOWING: dict[str, Make] = {  # what they know is a function of the text alone
    "ngram": lambda: Ngram(3, filler_top_k=1),
    "ngram n=2": lambda: Ngram(2, filler_top_k=1),
    "onelevel": lambda: Ngram(4, "onelevel", filler_top_k=1),
    "lookup": Lookup,
    "lookup 2..5": lambda: Lookup(5, 2),
    "suffix": Suffix,
    "suffix small": lambda: Suffix(factor=0.5),
    "chain": lambda: Chain(Suffix(), Ngram(2, filler_top_k=1)),
}
MAKERS: dict[str, Make] = FOLLOWING | {
    "plain": Plain,
    "fillers": lambda: Ngram(3, filler_top_k=3),
    "kept table": lambda: Ngram(3, filler_top_k=4, reset_in_between=False, limit=30),
    "kept onelevel": lambda: Ngram(2, "onelevel", reset_in_between=False),
    "kept texts": lambda: Suffix(keep=True, limit=128),
    "kept chain": lambda: Chain(Suffix(keep=True), Ngram(reset_in_between=False), Lookup()),
}
NO_ROWS = np.empty((0, 11))

# A vocabulary of few tokens and an order of one make a text that repeats itself.
targets = st.builds(
    TinyTarget, vocab=st.sampled_from([4, 11]), order=st.integers(1, 3), key=st.integers(0, 99)
)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.3]),
    top_p=st.sampled_from([1.0, 0.8]),
    seed=st.integers(0, 2**63 - 1),
)
lengths = st.sampled_from([1, 2, 3, 5, 30])
texts = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@pytest.mark.parametrize("name", MAKERS)
@given(
    targets,
    texts,
    samplings,
    st.integers(1, 16),
    lengths,
    st.frozensets(st.integers(0, 10), max_size=2),
)
@settings(max_examples=25, deadline=None)
def test_no_drafter_changes_the_text(name, target, prompt, sampling, gamma, room, stop):
    plain = emitted(run(target, prompt, sampling, stop=stop, room=room))
    blocks = run(target, prompt, sampling, MAKERS[name](), gamma, stop, room)
    assert emitted(blocks) == plain
    for block in blocks:
        assert block.accepted <= block.drafted <= gamma


turns = st.lists(
    st.tuples(
        st.integers(0, 40),  # tokens of the text so far that the turn's prompt keeps
        texts,  # what it adds
        lengths,
        st.integers(1, 30),  # blocks until the answer is cancelled
        st.booleans(),  # whether the drafter is told
    ),
    min_size=2,
    max_size=5,
)


@pytest.mark.parametrize("name", MAKERS)
@given(targets, turns, samplings, st.integers(1, 16))
@settings(max_examples=20, deadline=None)
def test_no_turn_changes_the_text_whatever_went_before(name, target, turns, sampling, gamma):
    drafter = MAKERS[name]()
    history: list[int] = []
    for kept, said, room, until, told in turns:
        prompt = history[:kept] + said
        if told:
            drafter.begin(prompt, Sampling())
        blocks = decode(target, drafter, prompt, sampling, Fixed(gamma), (), room)
        answer = emitted(list(islice(blocks, until)))
        plain = emitted(run(target, prompt, sampling, room=room))
        assert answer == plain[: len(answer)]
        history = prompt + answer


@pytest.mark.parametrize("name", FOLLOWING)
@given(st.lists(st.tuples(st.integers(0, 30), texts, st.booleans()), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_nothing_is_left_of_a_text_that_was_edited(name, edits):
    drafter = FOLLOWING[name]()
    text: list[int] = []
    for kept, added, in_place in edits:
        if in_place:
            text += added  # as the loop does
        else:
            text = text[:kept] + added
        drafter.observe(text, len(added), np.zeros((len(added), 11)))
        assert drafter.propose(text, 6) == FOLLOWING[name]().propose(text, 6)


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_list_that_is_cropped_in_place_is_noticed(name):
    text = [1, 2, 3, 1, 2, 3, 1, 2]
    drafter = FOLLOWING[name]()
    drafter.propose(text, 4)
    del text[2:]
    assert drafter.propose(text, 4) == []
    text += [1, 1, 2, 2, 1, 1]
    assert drafter.propose(text, 4) == FOLLOWING[name]().propose(list(text), 4)


@pytest.mark.parametrize("name", MAKERS)
@given(texts | st.just([]), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_no_more_is_proposed_than_asked_for(name, text, k):
    drafter = MAKERS[name]()
    drafter.begin(text, Sampling())
    assert len(drafter.propose(text, k)) <= k
    drafter.observe(text, 0, NO_ROWS)
    assert len(drafter.propose(tuple(text), k)) <= k


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("text", [[], [3], [1, 2, 3, 4, 5, 6]])
def test_a_text_without_repeats_gives_no_draft(name, text):
    assert MAKERS[name]().propose(text, 8) == []


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"plain", "kept table", "suffix small"}))
@pytest.mark.parametrize("gamma", [1, 4, 16])
def test_a_loop_is_drafted_without_a_fault_after_its_first_round(name, gamma):
    target = PeriodicTarget([3, 1, 4, 5, 9, 2, 6])
    drafter = MAKERS[name]()
    blocks = run(target, [3], Sampling(), drafter, gamma, room=200)
    assert all(block.accepted == block.drafted for block in blocks)
    sizes = [block.drafted for block in blocks]
    assert not any(sizes[:6])
    assert set(sizes[10:-1]) == {gamma}


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"plain", "kept texts", "kept table"}))
def test_a_step_costs_the_same_in_a_long_text_as_in_a_short_one(name):
    short, long = (step_cost(MAKERS[name](), length) for length in (500, 6000))
    assert long[0] <= 1.1 * short[0]  # lines run
    assert long[1] <= 1.1 * short[1]  # tokens read


def step_cost(drafter: Drafter, length: int) -> tuple[int, int]:
    """Lines of code run and tokens read in 200 steps behind `length` tokens."""
    chance, rows = random.Random(1), np.zeros((1, 20))
    tokens = CountedList([chance.randrange(20) for _ in range(length)])
    drafter.begin(tokens, Sampling())
    tokens.reads = lines = 0

    def trace(frame, event, arg):  # noqa: ARG001
        nonlocal lines
        lines += event == "line" and frame.f_globals["__name__"].startswith("tokenhud")
        return trace

    before = sys.gettrace()
    for step in range(200):
        sys.settrace(trace)
        drafter.propose(tokens, 4)
        sys.settrace(before)
        tokens.tokens.append((step * step) % 20)
        sys.settrace(trace)
        drafter.observe(tokens, 1, rows)
        sys.settrace(before)
    return lines, tokens.reads


@pytest.mark.parametrize("name", ["ngram", "onelevel", "lookup", "suffix", "chain"])
@pytest.mark.parametrize("vocabulary", [30, 30_000])
def test_memory_is_what_is_held(name, vocabulary):
    chance = random.Random(1)
    text = [chance.randrange(vocabulary) for _ in range(10_000)]
    drafter = MAKERS[name]()
    gc.collect()
    tracemalloc.start()
    try:
        drafter.begin(text, Sampling())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 * held < drafter.memory() < 1.5 * held


@pytest.mark.parametrize("name", ["kept table", "kept texts"])
def test_memory_is_bounded(name):
    drafter, chance = MAKERS[name](), random.Random(1)
    text: list[int] = []
    sizes = []
    for _ in range(40):
        text += [chance.randrange(50) for _ in range(50)]
        drafter.begin(text, Sampling())
        sizes.append(drafter.memory() - 8 * len(text))
    assert max(sizes[5:]) <= 1.5 * max(sizes[:5])


def test_lookup_takes_the_longest_match_then_the_latest():
    assert Lookup().propose([1, 2, 3, 5, 9, 2, 3, 6, 1, 2, 3], 2) == [5, 9]
    assert Lookup(2).propose([1, 2, 3, 5, 9, 2, 3, 6, 1, 2, 3], 2) == [6, 1]
    assert Lookup(3).propose([4, 1, 4, 2, 4], 3) == [2, 4, 2]
    assert Lookup(3, 2).propose([4, 1, 4, 2, 4], 3) == []


def test_a_match_at_the_very_end_goes_on_with_itself():
    assert Lookup().propose([5, 7, 7], 4) == [7, 7, 7, 7]
    assert Suffix(factor=4).propose([5, 7, 7], 4) == [7, 7, 7, 7]


@given(texts, st.integers(1, 4), st.integers(0, 3), st.integers(1, 6))
def test_lookup_is_a_search_from_the_right(text, shortest, more, k):
    assert Lookup(shortest + more, shortest).propose(text, k) == searched(
        text, range(shortest + more, shortest - 1, -1), k
    )


def searched(text: Sequence[int], lengths: Sequence[int], k: int) -> list[int]:
    for length, end in product(lengths, range(len(text) - 1, 0, -1)):
        if length <= end and text[end - length : end] == text[-length:]:
            longer = [*text]
            for place in range(end, end + k):
                longer.append(longer[place])
            return longer[len(text) :]
    return []


def test_a_chain_takes_the_first_proposal_and_teaches_all():
    chain = Chain(Plain(), Lookup(9, 3), Lookup(2, 1))
    assert chain.propose([1, 2, 3, 4, 8, 2, 3, 5, 1, 2, 3], 2) == [4, 8]
    assert chain.propose([1, 2, 3, 4, 8, 2, 3, 5, 7, 3], 2) == [5, 7]
    assert Chain().propose([1, 1], 2) == []


def test_options_out_of_range_are_refused():
    for make in (lambda: Ngram(1), lambda: Lookup(2, 3), lambda: Lookup(2, 0)):
        with pytest.raises(OptionError):
            make()
    with pytest.raises(OptionError):
        Suffix(factor=0)
