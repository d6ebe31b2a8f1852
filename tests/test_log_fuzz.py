"""Logs that were damaged, or that someone made to do harm."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.hostile import RECORDS, WHOLE, survives
from tokenhud.sessions.encoding import to_line

LINES = WHOLE.splitlines(keepends=True)
FEW = settings(deadline=None, max_examples=40)  # each makes files; a longer run: fuzz_log.py
HOSTILE = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"seq":0,"type":"undo","turn_id":' + b"9" * 10_000 + b"}",
    b'{"seq":0,"type":"undo","turn_id":1e400}',
    b'{"seq":0,"type":"undo","turn_id":NaN}',
    b'{"seq":0,"type":"undo","turn_id":-5}',
    b'{"seq":9223372036854775808,"type":"clear"}',
    b'{"seq":0,"type":"turn","turn_id":9223372036854775807,"text":"x","created":"\\u0000"}',
    b'{"seq":0,"type":"turn","turn_id":1,"text":"\\ud83d","created":"\\udead"}',
    b'{"seq":0,"type":"turn","turn_id":1,"text":"\xff\xfe","created":""}',
    b'{"seq":0,"type":"turn","turn_id":1,"text":"\\u001b[2J=1+1\\u202e","created":""}',
    b'{"seq":0,"type":"turn","turn_id":1,"text":"```\\n# x","created":""}',
    b'{"seq":0,"type":"setting","name":"gamma","value":"many"}',
    b'{"seq":0,"type":"setting","name":"temperature","value":9e307}',
    b'{"seq":0,"type":"setting","name":"model","value":"/net/share/evil.gguf"}',
    b'{"seq":0,"type":"setting","name":"system","value":7}',
    b'{"seq":0,"type":"step","token_ids":"many","pieces":[],"drafted":0,"accepted":0,"t_ns":1}',
    b'{"seq":0,"type":"step","token_ids":[],"pieces":[],"drafted":99999999,"accepted":0,"t_ns":1}',
    b'{"seq":0,"type":"step","token_ids":[1],"pieces":["x"],"drafted":9223372036854775807,'
    b'"accepted":0,"t_ns":9223372036854775807}',
    b'{"seq":0,"type":"step","token_ids":[1],"pieces":["x"],"drafted":0,"accepted":0,'
    b'"t_ns":9223372036854775807}',
    b'{"seq":0,"type":"stop","t_ns":0,"finish_reason":"error","error":"\\u0007\\n=x"}',
    b'{"seq":0,"type":"undo","turn_id":1,"turn_id":2}',
    to_line(RECORDS[0], 0).replace('"cpu":"some"', '"cpu":' + "[" * 900 + "]" * 900).encode(),
    b'?{"seq":0,"type":"setting","name":"system","value":"no line of its own"}',
    b"\x1f\x8b",
    b"\x00" * 4096,
    b"\r",
    b"",
]


def at(place: float, count: int) -> int:
    return min(int(place * count), count - 1)


def cut(data: bytes, place: float, _: bytes) -> bytes:
    return data[: at(place, len(data) + 1)]


def flip(data: bytes, place: float, junk: bytes) -> bytes:
    begin = at(place, len(data) + 1)
    return data[:begin] + junk + data[begin + len(junk) :]


def insert(data: bytes, place: float, junk: bytes) -> bytes:
    begin = at(place, len(data) + 1)
    return data[:begin] + junk + data[begin:]


def with_lines(data: bytes, place: float, junk: bytes) -> bytes:
    """A line is lost, doubled, moved or added, as the junk has it."""
    rows = data.split(b"\n")
    row = at(place, len(rows))
    kinds = {
        0: rows[:row] + rows[row + 1 :],
        1: rows[:row] + rows[row : row + 1] * 2 + rows[row + 1 :],
        2: rows[row:] + rows[:row],
        3: [*rows[:row], junk, *rows[row:]],
    }
    return b"\n".join(kinds[len(junk) % 4])


CHANGES = st.tuples(
    st.sampled_from([cut, flip, insert, with_lines]),
    st.floats(0, 1),
    st.binary(max_size=8) | st.sampled_from(HOSTILE),
)


@FEW
@given(st.binary(max_size=300))
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\n" * 500)
def test_any_bytes(data: bytes) -> None:
    survives(data)


@FEW
@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_a_log_that_was_damaged(changes: list[Any]) -> None:
    survives(reduce(lambda data, change: change[0](data, *change[1:]), changes, WHOLE))


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:60].decode("ascii", "replace"))
@pytest.mark.parametrize("where", [0, 9, len(LINES)])
def test_a_line_made_to_do_harm(line: bytes, where: int) -> None:
    survives(b"".join([*LINES[:where], line, b"\n", *LINES[where:]]))
    survives(b"".join([*LINES[:where], line]))


@FEW
@given(st.integers(0, len(LINES) - 1), st.data())
def test_a_value_of_another_kind(number: int, data: st.DataObject) -> None:
    values = json.loads(LINES[number])
    place = values
    while isinstance(place, dict) and place and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(place)))
        inner = place[key]
        if not isinstance(inner, dict) or not inner:
            place[key] = data.draw(strategies.plain_json | st.integers())
        place = inner
    changed = json.dumps(values).encode() + b"\n"
    survives(b"".join([*LINES[:number], changed, *LINES[number + 1 :]]))


@FEW
@given(st.lists(strategies.records, max_size=12))
def test_records_in_any_order(records: list[Any]) -> None:
    rows = "".join(f"{to_line(each, n + len(LINES))}\n" for n, each in enumerate(records))
    survives(WHOLE + rows.encode())
