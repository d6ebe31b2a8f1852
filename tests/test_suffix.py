from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenhud.engines.options import Sampling
from tokenhud.engines.suffix import BREAK, OVERLAP, Automaton, Suffix

texts = st.lists(st.integers(0, 3), max_size=40)


def longest_ending(text: Sequence[int]) -> int:
    """Length of the longest ending of `text` that also ends earlier in it."""
    found = 0
    for end in range(1, len(text)):
        length = 0
        while length < end and text[end - 1 - length] == text[-1 - length]:
            length += 1
        found = max(found, length)
    return found


def longest_over(parts: Sequence[Sequence[int]]) -> int:
    """The same for the last of several texts, where an ending in an earlier one must go on."""
    *earlier, text = parts
    others = ([*part[:-1], BREAK - 1 - i, *text] for i, part in enumerate(earlier))
    return max([longest_ending(text), *map(longest_ending, others)])


@given(texts)
@settings(max_examples=300)
def test_the_longest_ending_is_found_at_every_token(text):
    automaton = Automaton()
    for end, token in enumerate(text, start=1):
        automaton.append(token)
        length, place = automaton.ending()
        assert length == longest_ending(text[:end])
        assert text[place - length : place] == text[end - length : end]
        assert place < end


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=15), min_size=2, max_size=5))
@settings(max_examples=300)
def test_earlier_texts_are_searched_too_and_no_match_runs_over_a_break(parts):
    automaton = Automaton()
    for part in parts:
        for token in (BREAK, *part):
            automaton.append(token)
    length, place = automaton.ending()
    assert length == longest_over(parts)
    assert list(automaton.text[place - length : place]) == parts[-1][len(parts[-1]) - length :]
    assert not length or automaton.text[place] != BREAK


@pytest.mark.parametrize("text", [[1] * 3000, [1, 2] * 1500, [*range(1500)] * 2])
def test_memory_is_linear_in_a_repetitive_text(text):
    half, whole = Automaton(text[:1500]).memory(), Automaton(text).memory()
    assert whole <= 2.5 * half


def test_a_draft_grows_with_the_match():
    text = [*range(1, 30), 50]
    for length in range(1, 5):
        ending = [*text, *range(1, length + 1)]
        assert Suffix(factor=2).propose(ending, 16) == [*range(length + 1, 3 * length + 1)]
        assert Suffix(factor=2).propose(ending, 1) == [length + 1]
    assert Suffix(factor=0.5).propose([*text, 1, 2, 3], 16) == [4]


def test_the_latest_occurrence_is_followed():
    assert Suffix().propose([1, 2, 5, 1, 2, 6, 1, 2], 1) == [6]


def test_earlier_texts_are_known_if_kept():
    for keep, draft in ((True, [3, 4, 5, 6]), (False, [])):
        drafter = Suffix(keep=keep)
        drafter.begin([1, 2, 3, 4, 5, 6], Sampling())
        assert drafter.propose([8, 1, 2], 9) == draft


def test_a_draft_ends_with_the_earlier_text():
    drafter = Suffix(keep=True)
    drafter.begin([1, 2, 3], Sampling())
    assert drafter.propose([8, 1, 2], 4) == [3]


def test_a_kept_text_that_is_edited_costs_what_is_new():
    chance = random.Random(1)
    text = [chance.randrange(30) for _ in range(5000)]
    kept = Suffix(keep=True)
    kept.begin(text, Sampling())
    before = kept.memory()
    for end in range(4900, 5000, 10):
        kept.begin([*text[:end], 31], Sampling())
    assert kept.memory() < before * (1 + 20 * OVERLAP / 5000)
    assert kept.propose([*text[:2000], *text[100:140]], 3) == text[140:143]


def test_what_is_older_than_the_limit_is_forgotten():
    drafter = Suffix(limit=2 * OVERLAP)
    text = [*range(10, 100), *range(200, 300)]
    assert drafter.propose([*text, 10, 11], 2) == []
    assert drafter.propose([*text, 10, 11, 298, 299], 2) == [10, 11]
