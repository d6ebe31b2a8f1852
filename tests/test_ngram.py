from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.ngram import Ngram, Storage, Table, top
from tokenhud.engines.options import Sampling

texts = st.lists(st.integers(0, 3), min_size=1, max_size=25)


def row(*likely: int) -> list[float]:
    """Logits of 12 tokens, `likely` first and all others impossible."""
    return [9.0 - likely.index(token) if token in likely else -np.inf for token in range(12)]


def answered(drafter: Ngram, text: Sequence[int], *rows: list[float]) -> Ngram:
    """`drafter` after an answer whose last tokens were chosen from `rows`."""
    drafter.begin(text[: -len(rows)], Sampling())
    drafter.observe(text, len(rows), np.array(rows))
    return drafter


def test_two_grams_draft():
    assert Ngram(2, "onelevel").propose([1, 2, 1], 3) == [2, 1, 2]
    assert Ngram(2, "basic").propose([1, 2, 1], 3) == [2, 1, 2]


@pytest.mark.parametrize("storage", ["basic", "onelevel"])
@pytest.mark.parametrize("text", [[], [1], [1, 2], [1, 2, 3]])
def test_a_text_shorter_than_the_context_drafts_nothing(storage, text):
    assert Ngram(5, storage).propose(text, 4) == []


def test_basic_falls_back_to_a_shorter_context_and_onelevel_stops():
    text = [1, 2, 3, 2]
    assert Ngram(3, "onelevel").propose(text, 4) == []
    assert Ngram(3, "basic").propose(text, 4) == [3, 2, 3, 2]


def test_basic_trusts_the_longest_known_context():
    text = [7, 1, 5, 8, 1, 6, 9, 1, 6, 7, 1]
    assert Ngram(2).propose(text, 1) == [6]
    assert Ngram(3).propose(text, 1) == [5]


@pytest.mark.parametrize(
    ("text", "best"),
    [([1, 2, 1, 3, 1], 2), ([1, 2, 1, 3, 1, 3, 1], 3), ([1, 2, 1, 3, 1, 3, 1, 2, 1], 3)],
)
def test_a_tie_keeps_the_earlier_token(text, best):
    assert Ngram(2).propose(text, 1) == [best]


def test_a_filler_that_is_named_often_enough_is_drafted_up_to_where_nothing_is_known():
    text = [1, 2, 1, 4, 1, 5, 1]
    rows = [row(2, 1), row(4, 7), row(1), row(5, 7), row(1)]
    assert answered(Ngram(2, filler_top_k=2), text, *rows).propose(text, 4) == [7]
    assert answered(Ngram(2, filler_top_k=1), text, *rows).propose(text, 1) == [2]


def test_only_the_first_fillers_count():
    text, rows = [1, 2, 1, 4, 1, 5, 1], [row(4, 8, 7), row(1), row(5, 9, 7), row(1)]
    assert answered(Ngram(2, filler_top_k=2), text, *rows).propose(text, 1) == [2]
    assert answered(Ngram(2, filler_top_k=3), text, *rows).propose(text, 1) == [7]


def test_the_emitted_token_counts_once():
    text, rows = [1, 2, 1, 3, 1], [row(3, 8), row(1)]
    assert answered(Ngram(2, filler_top_k=3), text, *rows).propose(text, 1) == [2]


def test_an_observation_counts_once_even_if_told_twice():
    text, rows = [1, 2, 1, 2, 1, 3, 1], [row(3, 8), row(1)]
    drafter = answered(Ngram(2, filler_top_k=2), text, *rows)
    for _ in range(3):
        drafter.observe(text, 2, np.array(rows))
    assert drafter.propose(text, 1) == [2]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.integers(1, 12))
def test_top_sorts_and_leaves_out_the_impossible(weights, k):
    logits = np.array([-np.inf if weight == -3 else float(weight) for weight in weights])
    before = logits.copy()
    order = np.argsort(-logits, kind="stable")
    assert top(logits, k) == [token for token in order if logits[token] > -np.inf][:k]
    assert (logits == before).all()


def test_the_table_is_made_anew_for_each_answer_unless_kept():
    fresh, kept = Ngram(2), Ngram(2, reset_in_between=False)
    for drafter in (fresh, kept):
        drafter.begin([1, 2, 3], Sampling())
        drafter.begin([9, 1], Sampling())
    assert fresh.propose([9, 1], 2) == []
    assert kept.propose([9, 1], 2) == [2, 3]


def test_a_kept_table_does_not_count_the_history_again():
    drafter = Ngram(2, reset_in_between=False)
    turn = [1, 2, 1, 2]
    drafter.begin(turn, Sampling())
    for more in ([1, 3], [1, 3], [1, 3], [1]):
        turn = turn + more
        drafter.begin(turn, Sampling())
    assert drafter.propose(turn, 1) == [3]


def test_a_kept_table_counts_a_changed_end_once():
    drafter = Ngram(2, reset_in_between=False)
    drafter.begin([1, 2, 8, 9], Sampling())
    drafter.begin([1, 2, 8, 1, 3, 1, 3, 1], Sampling())
    assert drafter.propose([1, 2, 8, 1, 3, 1, 3, 1], 1) == [3]


def test_fillers_outlive_the_answer_in_a_kept_table_only():
    text, rows = [1, 2, 1, 4, 1, 5, 1], [row(4, 7), row(1), row(5, 7), row(1)]
    for keep, best in ((True, 7), (False, 2)):
        drafter = answered(Ngram(2, filler_top_k=2, reset_in_between=not keep), text, *rows)
        drafter.begin(text, Sampling())
        assert drafter.propose(text, 1) == [best]


def test_the_context_counted_longest_ago_is_dropped():
    table = Table([1], limit=2)
    for context, token in ((1, 5), (2, 6), (1, 5), (3, 7)):
        table.count([context], [token])
    assert [table.best([context]) for context in (1, 2, 3)] == [5, None, 7]


@given(texts, st.integers(1, 12))
def test_the_table_stays_within_its_limit(text, limit):
    table = Table([2, 1], limit)
    for place in range(2, len(text)):
        table.count(text[place - 2 : place], list(dict.fromkeys([text[place], 7, 8])))
        assert len(table) <= limit


@given(texts, st.integers(2, 5), st.sampled_from(["basic", "onelevel"]), st.integers(0, 6))
def test_a_draft_is_what_counting_by_hand_gives(text, n, storage, k):
    assert Ngram(n, storage).propose(text, k) == by_hand(text, n, storage, k)


def by_hand(text: Sequence[int], n: int, storage: Storage, k: int) -> list[int]:
    lengths = range(n - 1, 0, -1) if storage == "basic" else range(n - 1, n - 2, -1)
    followed: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for length in lengths:
        for place in range(length, len(text)):
            followed[tuple(text[place - length : place])].append(text[place])
    longer = list(text)
    for _ in range(k):
        contexts = [tuple(longer[-length:]) for length in lengths]
        known = [followed[c] for c in contexts if c in followed]
        if not known:
            break
        longer.append(leader(known[0]))
    return longer[len(text) :]


def leader(tokens: Sequence[int]) -> int:
    """Who leads after all votes, where a lead changes only to one with more."""
    lead = tokens[0]
    for count, token in enumerate(tokens, start=1):
        if tokens[:count].count(token) > tokens[:count].count(lead):
            lead = token
    return lead
