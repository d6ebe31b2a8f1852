"""Drafts told by a server's own counters, where the answer ran alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tokenhud.engines.events import Served

from .streams import last, piece, used
from .wire import Reply, Talk, models, stream, talk

WHOLE = Reply([stream(piece("Fine."), piece("", "stop"), last(used(5, 2)))])


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        talking.wire.answer("/v1/models", models("m", owner="vllm"))
        yield talking


def page(generated: int, drafts: int, drafted: int, accepted: int, running: int = 0) -> Reply:
    labels = 'model_name="m",engine="0"'
    places = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
    lines = [
        "# HELP vllm:generation_tokens_total Tokens.",
        "# TYPE vllm:generation_tokens_total counter",
        f"vllm:generation_tokens_total{{{labels}}} {generated}.0",
        f"vllm:spec_decode_num_drafts_total{{{labels}}} {drafts}",
        f"vllm:spec_decode_num_draft_tokens_total{{{labels}}} {drafted:e}",
        f"vllm:spec_decode_num_accepted_tokens_total{{{labels}}} {accepted}",
        f'{places}{{{labels},position="0"}} {accepted - accepted // 3}',
        f'{places}{{{labels},position="1"}} {accepted // 3}',
        f"vllm:num_requests_running{{{labels}}} {running}",
    ]
    return Reply(["\n".join(lines).encode()], kind="text/plain")


def drafts_of(server: Talk, *pages: Reply) -> Served:
    server.wire.answer("/metrics", *pages)
    return next(event for event in server.send(WHOLE) if isinstance(event, Served))


def test_counters_tell_the_drafts_of_an_answer_that_ran_alone(server: Talk) -> None:
    told = drafts_of(server, page(100, 10, 20, 6), page(101, 11, 22, 7), page(102, 12, 24, 9))
    assert (told.spec_steps, told.drafted, told.accepted) == (2, 4, 3)
    assert told.acceptance_histogram == (0, 1, 1)  # the second look was too early
    assert "/metrics" in told.source


@pytest.mark.parametrize(
    "after", [page(110, 30, 60, 20), page(102, 12, 24, 10, running=1), page(100, 10, 20, 7)]
)
def test_counters_that_others_move_too_tell_nothing(server: Talk, after: Reply) -> None:
    told = drafts_of(server, page(100, 10, 20, 7), after)
    assert told.drafted is None
    assert any("other requests ran" in note for note in told.notes)


def test_a_server_that_drafts_nothing_has_no_acceptance_and_no_excuse(server: Talk) -> None:
    told = drafts_of(server, page(100, 0, 0, 0), page(102, 0, 0, 0))
    assert told.drafted is None
    assert not any("drafts" in note for note in told.notes)


def test_counters_of_a_server_that_was_started_anew_tell_nothing(server: Talk) -> None:
    told = drafts_of(server, page(100, 10, 20, 6), page(2, 1, 2, 1))
    assert told.drafted is None
    assert told.notes
