from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.sessions.clean import MARK, clean, one_line

any_text = st.text(st.characters(codec=None, categories=None)) | st.text(
    st.sampled_from("\x1b[]0;m\x07\x9b\x90\r\n\t\ud800\u202e\u2066\ufeffa字🏳️‍🌈")
)


@given(any_text)
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    for each in clean(text):
        assert each in "\t\n" or unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(each) not in {"LRO", "RLO", "LRE", "RLE", "PDF", "RLI"}


@given(any_text, any_text)
def test_a_split_changes_nothing(before: str, after: str) -> None:
    assert clean(before + after) == clean(before) + clean(after)


@given(any_text)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(any_text, st.integers(1, 40))
def test_one_line_is_one_and_no_longer_than_asked(text: str, width: int) -> None:
    assert len(one_line(text, width)) <= width
    assert "\n" not in one_line(text, width)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", f"{MARK}]0;title{MARK}"),
        ("\x9b2J", f"{MARK}2J"),
        ("one\r\ntwo", "one\ntwo"),
        ("half \ud83d", f"half {MARK}"),
        ("\ufeffhidden\ufff9", f"{MARK}hidden{MARK}"),
        ("abc\u202edcba", f"abc{MARK}dcba"),
        ("list[int] 👨‍👩‍👧 naïve\tधन्यवाद", "list[int] 👨‍👩‍👧 naïve\tधन्यवाद"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert clean(text) == shown
