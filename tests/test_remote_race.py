"""This machine and a server in one experiment, and a server's answers among its results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.events import Chunk, Engine, Event, Sample, Served, Start, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.bench.answers import MEASURES, Answer, answer
from tokenhud.sessions.bench.apart import Apart
from tokenhud.sessions.bench.experiment import LeftOut, Told
from tokenhud.sessions.bench.methods import methods
from tokenhud.sessions.bench.plan import Case, Plan
from tokenhud.sessions.bench.result import Result, same_words
from tokenhud.sessions.bench.running import run_plan
from tokenhud.sessions.bench.runs import Run, runs
from tokenhud.sessions.bench.samples import sample_rows
from tokenhud.sessions.records import Trial
from tokenhud.sessions.trials import CancelledError

from .fakes import ScriptedEngine, words
from .streams import COUNTING, LLAMA_CPP_PYTHON, RECORDED, TENSORRT, Recorded, piece
from .wire import CHAT, Reply, Talk, models, stream, talk

MS = 1_000_000
CASES = (Case("one", "First?"), Case("two", "Second?"))


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        talking.wire.answer("/v1/models", models("m", owner="vllm"))
        talking.wire.answer(CHAT, Reply([COUNTING.data]))
        yield talking


@pytest.fixture
def here() -> ScriptedEngine:
    return ScriptedEngine(words("One two three."))


@pytest.fixture
def apart(server: Talk, here: ScriptedEngine) -> Apart:
    engines: Iterator[Engine] = iter((here, server.engine))
    return Apart(lambda: next(engines))


def plan(server: Talk, *more: str, runs: int = 2) -> Plan:
    ways = methods(["plain", f"url={server.wire.url} model=m", *more])
    return Plan("bench", ways, Spec(), Sampling(), runs=runs, warmup=1)


def finished(apart: Apart, planned: Plan, folder: Path) -> tuple[Result, list[Told]]:
    running, told = run_plan(apart, planned, CASES, folder, idle=0), []
    while True:
        try:
            told.append(next(running))
        except StopIteration as done:
            return done.value, told


def test_local_and_remote_take_turns_and_nothing_is_reloaded(
    server: Talk, here: ScriptedEngine, apart: Apart, tmp_path: Path
) -> None:
    found, told = finished(apart, plan(server), tmp_path / "out")
    there = found.methods[1]
    passes = [(each.method, each.number) for each in told if isinstance(each, Run)][::2]
    assert passes == [
        ("plain", 0), (there, 0), ("plain", 1), (there, 1), (there, 2), ("plain", 2)
    ]  # fmt: skip
    assert len(here.requests) == 6
    assert len(server.wire.bodies(CHAT)) == 6
    assert sum(path == "/v1/models" for path, _, _ in server.wire.asked) == 1
    assert not here.closed
    assert len(found.measured) == 8


def test_figures_stand_side_by_side_and_words_are_not_compared(
    server: Talk, apart: Apart, tmp_path: Path
) -> None:
    found, _ = finished(apart, plan(server), tmp_path / "out")
    local, remote = (found.of("one", method) for method in found.methods)
    assert [each.tokens for each in local] == [3, 3]
    assert [each.tokens for each in remote] == [8, 8]
    assert same_words(remote, local) is None
    rows = [each for each in sample_rows(found) if each["method"] == found.methods[1]]
    assert {each["completion_tokens"] for each in rows} == {8}
    assert all(each["peak_rss"] is None for each in rows)


def test_a_method_that_a_running_server_cannot_become_is_left_out(
    server: Talk, apart: Apart, tmp_path: Path
) -> None:
    planned = plan(server, f"suffix url={server.wire.url} model=m", runs=1)
    found, told = finished(apart, planned, tmp_path / "out")
    left = [each for each in told if isinstance(each, LeftOut)]
    assert {(each.method, each.case) for each in left} == {
        (planned.methods[2].name, case.name) for case in CASES
    }
    assert "A server decides this when it starts: drafter." in left[0].why
    assert len(server.wire.bodies(CHAT)) == 4
    assert found.totals("e2e_tps", planned.methods[2].name) == []


def test_a_cancel_reaches_the_engine_that_answers(
    server: Talk, apart: Apart, tmp_path: Path
) -> None:
    server.wire.answer(CHAT, Reply([stream(piece("One"), end="")], hangs=True))
    running = run_plan(apart, plan(server), CASES, tmp_path / "out", idle=0)

    def cancelled_at_the_first_piece() -> None:
        for told in running:
            if isinstance(told, Chunk):
                apart.cancel()

    with pytest.raises(CancelledError):
        cancelled_at_the_first_piece()
    assert server.wire.gone.wait(5)


def test_each_address_has_an_engine_and_close_ends_all() -> None:
    opened: list[ScriptedEngine] = []

    def open_engine() -> ScriptedEngine:
        opened.append(ScriptedEngine())
        return opened[-1]

    apart = Apart(open_engine)
    for url in ("http://a", "", "http://a", "http://b", ""):
        list(apart.load(Spec(url=url)))
    assert len(opened) == 3
    apart.close()
    assert all(each.closed for each in opened)


def played(recorded: Recorded) -> Answer:
    """The answer that an experiment keeps of a recorded stream."""
    with talk() as talking:
        owner = next(
            (each for each in ("vllm", "tensorrt_llm", "me") if _owns(each, recorded)), "nobody"
        )
        talking.wire.answer("/v1/models", models("m", owner=owner))
        events = talking.send(Reply([recorded.data]))
    trial = Trial("bench", None, True, "one", "remote", 1, False)
    busy = Sample(1, cpu_percent=90.0, engine_cpu_percent=10.0, engine_rss=5, vram_engine=6)
    (run,) = runs([trial, busy, *events])
    assert run.text == recorded.text
    assert run.tokens == ()
    return answer(run, expected=recorded.text[:3])


def _owns(owner: str, recorded: Recorded) -> bool:
    from tokenhud.engines.remote_kinds import OWNERS

    return OWNERS[owner] is recorded.kind


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: each.name)
def test_text_counts_and_what_is_not_told_is_absent(recorded: Recorded) -> None:
    kept = played(recorded)
    assert kept.tokens == (recorded.served.completion_tokens or 0)
    assert kept.right is True
    assert (kept.words, kept.prompt_words) == ("", "")
    assert kept.prompt_tokens == recorded.served.prompt_tokens
    assert (kept.peak_rss, kept.peak_vram, kept.other_load) == (None, None, None)


def test_a_server_that_counts_nothing_has_times_and_no_rate() -> None:
    kept = played(LLAMA_CPP_PYTHON)
    assert kept.ttft_ns is not None
    known = {name: measure.of(kept) for name, measure in MEASURES.items()}
    assert {name for name, value in known.items() if value is not None} == {"ttft_ms", "e2e_ms"}


def test_tokens_a_pass_are_of_the_passes_that_the_server_tells() -> None:
    measure = MEASURES["mean_acceptance_length"]
    drafting, iterating = played(COUNTING), played(TENSORRT)
    assert measure.of(drafting) == 1 + 4 / 4
    assert measure.of(replace(drafting, tokens=30)) == 2.0
    assert measure.of(iterating) == 4 / 2


def test_the_servers_own_time_is_the_prompts() -> None:
    spec = Spec(url="http://a")
    events: list[Event] = [
        Start(0, (), 0, False, spec, Sampling()),
        Chunk(100 * MS, "a", 1),
        Chunk(300 * MS, "b", 5),
        Served(301 * MS, 10, 0, 5, server_ttft_ns=80 * MS, rtt_ns=10 * MS),
        Stop(301 * MS, "stop"),
    ]
    (run,) = runs([Trial("bench", None, True, "one", "r", 1, False), *events])
    kept = answer(run)
    assert (kept.ttft_ns, kept.prompt_ns) == (100 * MS, 80 * MS)
    assert MEASURES["decode_tps"].of(kept) == 4 / 0.2
    assert MEASURES["prefill_tps"].of(kept) == 10 / 0.08
