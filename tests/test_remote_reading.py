"""Bytes of servers to events, and events to figures."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines import remote_kinds as kinds
from tokenhud.engines.events import Chunk, EngineError, Event, Prefill, Served, Start, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.remote_counters import Counted
from tokenhud.engines.remote_reading import Reading
from tokenhud.engines.remote_stream import LARGEST, EventStream
from tokenhud.sessions.encoding import from_line, to_line
from tokenhud.sessions.metrics import Meter, turn_metrics
from tokenhud.sessions.result import result
from tokenhud.sessions.summary import session_metrics
from tokenhud.sessions.turns import Position, TurnMetrics

from .streams import (
    COUNTING,
    LLAMA_CPP_PYTHON,
    LLAMA_SERVER,
    MS,
    PLAIN,
    RECORDED,
    SGLANG,
    Recorded,
    last,
    piece,
    role,
    used,
)
from .wire import stream

START = Start(0, (), 0, False, Spec(url="http://a", model="m"), Sampling(seed=1))
RTT = 30 * MS


def heard(kind: kinds.Kind, data: Iterable[str], counted: Counted | None = None) -> list[Event]:
    """The events of one answer whose parts came in one every 10 ms, the first after 100 ms."""
    reading = Reading(kind, "http://a")
    events: list[Event] = [START]
    now = 100 * MS
    for each in data:
        events += reading.push(each, now)
        now += 10 * MS
    events.append(reading.served(now, RTT, counted or Counted()))
    return [*events, Stop(now, reading.reason or "stop")]


def figures(events: Sequence[Event]) -> TurnMetrics:
    return turn_metrics(events)


def recorded(stream_of: Recorded) -> list[Event]:
    return heard(stream_of.kind, map(json.dumps, stream_of.events))


@pytest.mark.parametrize("each", RECORDED, ids=lambda each: each.name)
def test_what_each_server_tells_and_nothing_more(each: Recorded) -> None:
    events = recorded(each)
    (served,) = (event for event in events if isinstance(event, Served))
    assert replace(served, t_ns=0, rtt_ns=None, source="", notes=()) == each.served
    assert "".join(event.text for event in events if isinstance(event, Chunk)) == each.text


@pytest.mark.parametrize("each", RECORDED, ids=lambda each: each.name)
def test_the_figures_that_follow(each: Recorded) -> None:
    turn = figures(recorded(each))
    n = each.served.completion_tokens
    decode = (n or 0) - each.first_tokens
    seconds = (each.last_ms - each.first_ms) / 1000
    assert turn.completion_tokens == n
    assert turn.ttft_ns == each.first_ms * MS
    assert turn.adjusted_ttft_ns == each.first_ms * MS - RTT
    assert turn.e2e_ns == each.last_ms * MS
    assert turn.decode_rate == (pytest.approx(decode / seconds) if n else None)
    assert turn.e2e_rate == (pytest.approx(n * 1000 / each.last_ms) if n else None)
    assert tuple(gap.tokens for gap in turn.gaps) == each.gaps
    assert turn.prompt_tokens == each.served.prompt_tokens
    assert turn.cached_tokens == each.served.cached_tokens
    assert (turn.drafted, turn.accepted) == (each.served.drafted or 0, each.served.accepted or 0)


def test_prompt_tokens_over_the_servers_own_time_where_it_tells_it() -> None:
    assert figures(recorded(LLAMA_SERVER)).prefill_rate == pytest.approx(10 / 0.0805)
    assert figures(recorded(SGLANG)).prefill_rate == pytest.approx(4 / 0.08)  # TTFT less the way
    assert figures(recorded(PLAIN)).prefill_rate is None  # how much was cached is not told


def test_acceptance_by_place_and_length_where_the_steps_are_told() -> None:
    turn = figures(recorded(COUNTING))
    assert turn.acceptance == 0.5
    assert turn.positions == (Position(4, 3), Position(4, 1))
    assert turn.rejections == 3
    assert turn.token_acceptance == pytest.approx(4 / 7)
    assert turn.mean_accepted_length == 2.0


def test_what_no_step_tells_is_absent() -> None:
    turn = figures(recorded(LLAMA_SERVER))
    assert turn.acceptance == 0.25
    assert turn.positions == ()
    assert turn.token_acceptance is None
    assert turn.mean_accepted_length is None
    assert session_metrics([turn]).token_acceptance is None


def test_an_answer_nobody_counted_has_times_and_no_rates() -> None:
    turn = figures(recorded(LLAMA_CPP_PYTHON))
    told = result(turn)
    assert told["ttft_ms"] == 110
    assert {told[name] for name in ("completion_tokens", "decode_tps", "e2e_tps")} == {None}
    assert told["tpot_ms"] is None
    assert told["prompt_tokens"] is None


def test_the_live_rate_waits_for_a_server_that_counts_along() -> None:
    for each, known in ((PLAIN, False), (COUNTING, True)):
        meter = Meter()
        for event in recorded(each)[:4]:
            meter.add(event)
        live = meter.metrics(200 * MS)
        assert (live.live is not None) is known
        assert bool(meter.history(5_000 * MS)) is known


def test_the_prompt_is_followed_where_the_server_tells_how_far_it_is() -> None:
    told = [event for event in recorded(LLAMA_SERVER) if isinstance(event, Prefill)]
    assert [(each.done, each.total) for each in told] == [(4, 10), (10, 10)]


def test_each_absent_figure_has_its_reason_and_the_flag_that_shows_it() -> None:
    (served,) = (event for event in recorded(PLAIN) if isinstance(event, Served))
    assert "--enable-prompt-tokens-details" in " ".join(served.notes)
    assert "--per-request-spec-decode-metrics" in " ".join(served.notes)
    (served,) = (event for event in recorded(LLAMA_CPP_PYTHON) if isinstance(event, Served))
    assert any("no rate is known" in note for note in served.notes)
    (served,) = (event for event in recorded(COUNTING) if isinstance(event, Served))
    assert served.notes == ()
    assert served.source == "usage, metrics"


def test_counters_fill_in_what_the_stream_leaves_out_and_no_more() -> None:
    counts = Counted({"drafted": 9, "accepted": 3, "completion_tokens": 99}, (), "/metrics")
    (served,) = (
        event
        for event in heard(kinds.VLLM, map(json.dumps, PLAIN.events), counts)
        if isinstance(event, Served)
    )
    assert (served.drafted, served.accepted, served.completion_tokens) == (9, 3, 4)
    assert served.source == "usage, /metrics"
    assert not any("drafts" in note for note in served.notes)


def test_usage_that_is_told_twice_counts_once_the_last() -> None:
    data = [piece("a"), last(used(5, 1)), piece("b", "stop"), last(used(5, 2))]
    turn = figures(heard(kinds.UNKNOWN, map(json.dumps, data)))
    assert turn.completion_tokens == 2
    assert turn.prompt_tokens == 5


@pytest.mark.parametrize(
    "usage",
    [
        {"completion_tokens": -1, "prompt_tokens": True},
        {"completion_tokens": 2**80, "prompt_tokens": "7"},
        {"completion_tokens": 1.5, "prompt_tokens": None},
        [],
        "usage",
    ],
)
def test_counts_that_are_none_are_not_taken(usage: object) -> None:
    data = [piece("a", "stop"), {"choices": [], "usage": usage}]
    turn = figures(heard(kinds.UNKNOWN, map(json.dumps, data)))
    assert turn.completion_tokens is None
    assert turn.prompt_tokens is None


def test_figures_that_contradict_one_another_are_left_out() -> None:
    drafts = {"num_draft_tokens": 2, "num_accepted_draft_tokens": 5, "num_spec_steps": 3}
    told = {"speculative_decoding": drafts | {"acceptance_histogram": [1, 1]}}
    data = [piece("a", "stop"), last(used(5, 2, 9), metrics=told)]
    (served,) = (e for e in heard(kinds.VLLM, map(json.dumps, data)) if isinstance(e, Served))
    assert served.cached_tokens is None
    assert served.drafted is None
    assert served.accepted is None
    assert served.acceptance_histogram is None
    assert served.spec_steps == 3


def test_what_a_server_takes_out_as_reasoning_is_part_of_the_answer() -> None:
    thoughts = [{"choices": [{"delta": {"reasoning_content": each}}]} for each in ("hm", "m")]
    data = [role(), *thoughts, piece("So"), piece(".", "stop")]
    events = heard(kinds.VLLM, map(json.dumps, data))
    text = "".join(event.text for event in events if isinstance(event, Chunk))
    assert text == "<think>\nhmm\n</think>\n\nSo."
    assert figures(events).ttft_ns == 110 * MS


@pytest.mark.parametrize(
    "data",
    ["nonsense", "[1]", '{"choices": ', '{"error": {"message": "boom", "code": 500}}', "null"],
)
def test_what_is_no_answer_is_one_sentence(data: str) -> None:
    with pytest.raises(EngineError) as fault:
        heard(kinds.UNKNOWN, [json.dumps(piece("a")), data])
    assert "\n" not in fault.value.what
    assert len(fault.value.what) < 300


def test_odd_shapes_are_passed_over() -> None:
    odd = [{"choices": [7]}, {"choices": {}}, {"choices": [{"delta": 3, "finish_reason": 1}]}, {}]
    events = heard(kinds.UNKNOWN, map(json.dumps, [*odd, piece("a", "stop")]))
    assert [event.text for event in events if isinstance(event, Chunk)][-1] == "a"


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, each in value.items() if isinstance(value, dict) else ():
        yield (*way, key)
        yield from places(each, (*way, key))


def spoilt(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    value = copy.deepcopy(value)
    inside = value
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = odd
    return value


odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**70,
        1.5,
        float("nan"),
        float("inf"),
        1e300,
        "",
        "x",
        [],
        [{}],
        {},
        {"a": 1},
    ]
)


@given(st.sampled_from(RECORDED), st.data())
def test_whatever_a_server_sends_is_events_that_a_log_holds_or_one_sentence(
    each: Recorded, data: st.DataObject
) -> None:
    whole = list(each.events)
    way = data.draw(st.sampled_from(list(places(whole))))
    stream_of = spoilt(whole, way, data.draw(odd_values))
    with suppress(EngineError):
        events = heard(each.kind, map(json.dumps, stream_of))
        assert [from_line(to_line(event, 0)) for event in events] == events
        figures(events)


cuts = st.lists(st.integers(0, 4000), max_size=12)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.sampled_from(RECORDED), cuts, ends)
def test_wherever_the_bytes_are_cut_the_events_are_the_same(
    each: Recorded, places: list[int], end: bytes
) -> None:
    data = b": a comment\n\n" + each.data.replace(b"data: {", b"event: x\nid: 1\ndata: {")
    data = data.replace(b"\n", end)
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    events = EventStream()
    parts = [data[a:b] for a, b in pairwise(edges)]
    whole = [each for part in parts for each in events.push(part)] + events.flush()
    assert whole == [*map(json.dumps, each.events), "[DONE]"]


def test_every_single_cut_gives_the_same_events() -> None:
    data = stream({"a": "é"}, {"b": [1]})
    for place in range(len(data)):
        events = EventStream()
        assert [*events.push(data[:place]), *events.push(data[place:])] == [
            '{"a": "\\u00e9"}',
            '{"b": [1]}',
            "[DONE]",
        ]


def test_a_stream_may_leave_its_last_blank_line_out() -> None:
    events = EventStream()
    assert events.push(b"data: 1\n\ndata: [DONE]") == ["1"]
    assert events.flush() == ["[DONE]"]


def test_an_error_has_a_field_of_its_own_in_older_servers() -> None:
    assert EventStream().push(b'error: {"code": 500}\n\n') == ['{"error": {"code": 500}}']


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_event_without_an_end_is_refused(end: bytes) -> None:
    events, part = EventStream(), b"data: " + b"x" * 65536 + end
    for _ in range(LARGEST // len(part)):
        assert events.push(part) == []
    with pytest.raises(EngineError, match="without an end"):
        events.push(part)
