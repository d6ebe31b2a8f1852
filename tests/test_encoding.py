from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tokenhud.engines.events import Sample, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.clean import MARK
from tokenhud.sessions.encoding import from_line, numbered_record, to_line
from tokenhud.sessions.records import Header, Record, Turn
from tokenhud.sessions.schema import RecordError

STEP = Step((5, 6), ("a", "b"), 3, 1, 99)


def refuse_constant(name: str) -> None:
    raise AssertionError(name)


@given(strategies.records, st.integers(0, 2**40))
def test_what_is_written_reads_back(record: Record, seq: int) -> None:
    line = to_line(record, seq)
    assert "\n" not in line
    json.loads(line.encode("utf-8"), parse_constant=refuse_constant)
    assert numbered_record(line) == (seq, record)


def test_names_are_those_of_the_field() -> None:
    start = Start(1, (5, 6), 1, False, Spec(), Sampling())
    assert json.loads(to_line(STEP, 0)) == {
        "seq": 0,
        "type": "step",
        "token_ids": [5, 6],
        "pieces": ["a", "b"],
        "drafted": 3,
        "accepted": 1,
        "t_ns": 99,
        "draft_ns": None,
        "pass_ns": None,
        "margins": [],
        "rejected": "",
    }
    written = json.loads(to_line(start, 0))
    assert written["prompt_token_ids"] == [5, 6]
    assert written["cached_tokens"] == 1
    assert written["spec"]["num_speculative_tokens"] == Spec().gamma
    assert json.loads(to_line(Stop(1, "length"), 0))["finish_reason"] == "length"


def test_what_is_not_a_number_is_null() -> None:
    header = Header(1, "", "", {"nan": math.nan, "list": [math.inf, 1.5]}, Spec(), Sampling())
    assert json.loads(to_line(header, 0))["env"] == {"nan": None, "list": [None, 1.5]}
    assert from_line(to_line(Sample(1, cpu_percent=math.nan), 0)) == Sample(1)


@given(st.text(st.characters(codec=None, categories=None)))
def test_half_surrogates_become_marks(text: str) -> None:
    read = from_line(to_line(Turn(1, text, ""), 0))
    marked = "".join(MARK if "\ud800" <= each <= "\udfff" else each for each in text)
    assert read == Turn(1, marked, "")


def test_an_escaped_half_surrogate_can_be_written_again() -> None:
    read = from_line(r'{"seq":0,"type":"turn","turn_id":1,"text":"\ud83d","created":""}')
    assert to_line(read, 0).encode("utf-8")


def test_absent_fields_take_their_defaults() -> None:
    line = '{"seq":0,"type":"stop","t_ns":4,"finish_reason":"stop"}'
    assert from_line(line) == Stop(4, "stop")


def step_with(**changes: Any) -> str:
    return json.dumps(json.loads(to_line(STEP, 0)) | changes)


BAD_LINES = {
    "cut": to_line(STEP, 0)[:-4],
    "number": "7",
    "empty": "{}",
    "text": '"x"',
    "unknown type": step_with(type="leap"),
    "type of another type": step_with(type=["step"]),
    "no number": step_with(seq=None),
    "negative number": step_with(seq=-1),
    "negative ids": step_with(token_ids=[-5, 1]),
    "ids in words": step_with(token_ids="many"),
    "fractions of tokens": step_with(token_ids=[1.5, 2]),
    "true for a number": step_with(drafted=True),
    "negative count": step_with(drafted=-1),
    "more accepted than drafted": step_with(accepted=4),
    "more accepted than emitted": step_with(drafted=9, accepted=3),
    "pieces missing": step_with(pieces=["a"]),
    "unknown field": step_with(speed=9),
    "field missing": '{"seq":0,"type":"undo"}',
    "field twice": '{"seq":0,"type":"undo","turn_id":1,"turn_id":2}',
    "NaN": '{"seq":0,"type":"setting","name":"x","value":NaN}',
    "infinity": '{"seq":0,"type":"setting","name":"x","value":1e999}',
    "infinity of any type": to_line(Header(1, "", "", {"x": 7}, Spec(), Sampling()), 0).replace(
        "7", "1e999"
    ),
    "a million digits": '{"seq":0,"type":"undo","turn_id":' + "9" * 10**6 + "}",
    "over 64 bits": '{"seq":0,"type":"undo","turn_id":9223372036854775808}',
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "reason": '{"seq":0,"type":"stop","t_ns":4,"finish_reason":"tired"}',
    "more done than there is": '{"seq":0,"type":"prefill","t_ns":1,"done":2,"total":1}',
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines_are_refused_with_a_short_reason(name: str) -> None:
    with pytest.raises(RecordError) as refused:
        from_line(BAD_LINES[name])
    assert 0 < len(str(refused.value)) < 200


def test_an_option_out_of_range_is_refused() -> None:
    start = json.loads(to_line(Start(1, (), 0, False, Spec(), Sampling()), 0))
    start["spec"]["num_speculative_tokens"] = 10**6
    with pytest.raises(RecordError, match="gamma"):
        from_line(json.dumps(start))


@given(st.text() | strategies.plain_json.map(json.dumps))
def test_anything_else_is_refused_too(text: str) -> None:
    with pytest.raises(RecordError):
        from_line(text)


@given(strategies.records, st.data())
def test_a_changed_value_is_read_or_refused(record: Record, data: st.DataObject) -> None:
    values = json.loads(to_line(record, 3))
    key = data.draw(st.sampled_from(sorted(values)))
    values[key] = data.draw(strategies.plain_json)
    with suppress(RecordError):
        read = from_line(json.dumps(values))
        assert from_line(to_line(read, 0)) == read
