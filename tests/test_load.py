"""Load on a server: how many requests are in flight, what bounds them, and what follows."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tokenhud.__main__ import main
from tokenhud.engines.events import Chunk, EngineError, Served, Start, Stop
from tokenhud.engines.options import OptionError, Sampling, Spec
from tokenhud.measuring import completed
from tokenhud.sessions.bench.load import RAW, Bounds, Done, Ended, load, load_plan
from tokenhud.sessions.bench.load_figures import Level, LoadResult, read_load
from tokenhud.sessions.bench.load_written import as_vllm, load_record, load_tables, write_load
from tokenhud.sessions.bench.plan import Case, Method, Plan
from tokenhud.sessions.bench.recorder import Recorder
from tokenhud.sessions.bench.result import read_result
from tokenhud.sessions.bench.table import as_text
from tokenhud.sessions.records import Record, Trial
from tokenhud.tui.headless.load_report import levels_of, limits_of

from .streams import COUNTING, LLAMA_CPP_PYTHON, piece
from .wire import CHAT, Reply, Wire, as_json, models, stream, talk

MS = 1_000_000
CASES = (Case("one", "First?"), Case("two", "Second?"))


@pytest.fixture
def wire() -> Iterator[Wire]:
    with talk() as talking:
        talking.wire.answer("/v1/models", models("m", owner="vllm"))
        talking.wire.answer(CHAT, Reply([COUNTING.data]))
        yield talking.wire


def run(wire: Wire, folder: Path, levels: Sequence[int], bounds: Bounds) -> Ended:
    plan = load_plan(levels, CASES, bounds, Spec(url=wire.url), Sampling(length=8))
    return asyncio.run(load(plan, CASES, bounds, folder, lambda _: None))


def level_of(found: LoadResult, concurrency: int) -> Level:
    return next(each for each in found.levels if each.concurrency == concurrency)


class Crowd(Sequence[bytes]):
    """Parts of a reply that go out once `size` requests are being answered; counts the most."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._barrier = data, threading.Barrier(size)
        self._lock, self._now, self.most = threading.Lock(), 0, 0

    def __len__(self) -> int:
        return 1

    def __getitem__(self, at: Any) -> Any:
        return (self._data,)[at]

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait(10)
        with self._lock:
            self._now -= 1
        yield self._data


def test_as_many_requests_are_in_flight_as_asked_for_and_no_more(
    wire: Wire, tmp_path: Path
) -> None:
    crowd = Crowd(COUNTING.data, 4)
    wire.answer(CHAT, Reply(crowd))
    ended = run(wire, tmp_path / "out", [4], Bounds(requests=8))
    assert crowd.most == 4
    assert level_of(read_load(ended.raw), 4).completed == 8


def test_each_level_asks_so_many_and_warm_ups_are_in_no_figure(wire: Wire, tmp_path: Path) -> None:
    ended = run(wire, tmp_path / "out", [1, 3], Bounds(requests=5))
    found = read_load(ended.raw)
    assert ended.whole
    assert [(each.concurrency, each.completed) for each in found.levels] == [(1, 5), (3, 5)]
    assert len(wire.bodies(CHAT)) == 5 + 1 + 5 + 3
    assert [each.tokens for each in found.levels] == [40, 40]
    assert [each.prompt_tokens for each in found.levels] == [150, 150]


def test_prompts_take_turns_and_no_request_helps_another(wire: Wire, tmp_path: Path) -> None:
    run(wire, tmp_path / "out", [1], Bounds(requests=4))
    asked = [body["messages"][0]["content"] for body in wire.bodies(CHAT)]
    assert asked == ["First?", "First?", "Second?", "First?", "Second?"]
    salts = [body["cache_salt"] for body in wire.bodies(CHAT)]
    assert len(set(salts)) == 5


def test_failures_are_counted_by_what_was_wrong_and_the_rest_goes_on(
    wire: Wire, tmp_path: Path
) -> None:
    good = Reply([COUNTING.data])
    busy, broken = as_json({}, 429), as_json({"error": "no room"}, 500)
    wire.answer(CHAT, good, good, busy, broken, busy, good)
    ended = run(wire, tmp_path / "out", [1], Bounds(requests=6))
    level = level_of(read_load(ended.raw), 1)
    assert level.completed == 3
    assert sorted(level.failed.values()) == [1, 2]
    assert any("(429)" in why for why in level.failed)
    text = "\n".join(as_text(each) for each in load_tables(read_load(ended.raw)))
    assert "no room" in text
    assert "33 %" in text


def test_what_is_in_flight_when_the_time_is_over_is_cut_off(wire: Wire, tmp_path: Path) -> None:
    wire.answer(CHAT, Reply([stream(piece("Half"), end="")], hangs=True))
    ended = run(wire, tmp_path / "out", [2], Bounds(requests=9, duration=0.2))
    level = level_of(read_load(ended.raw), 2)
    assert ended.whole
    assert (level.completed, level.cut, dict(level.failed)) == (0, 2, {})
    assert wire.gone.wait(5)
    assert level.output_throughput == 0


def test_a_cancel_keeps_what_was_answered(wire: Wire, tmp_path: Path) -> None:
    plan = load_plan([1], CASES, Bounds(9), Spec(url=wire.url), Sampling())

    async def interrupted() -> Ended:
        def tell(done: Done) -> None:
            if done.requests == 3:
                wire.answer(CHAT, Reply([stream(piece("Half"), end="")], hangs=True))
                asyncio.get_running_loop().call_later(0.1, running.cancel)

        running = asyncio.ensure_future(load(plan, CASES, Bounds(9), tmp_path / "out", tell))
        return await running

    ended = asyncio.run(interrupted())
    level = level_of(read_load(ended.raw), 1)
    assert not ended.whole
    assert (level.completed, level.cut) == (3, 1)


def test_a_folder_that_holds_something_is_left_alone(wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep", "utf-8")
    assert run(wire, tmp_path / "out", [1], Bounds(1)).raw == tmp_path / "out-2" / RAW


def test_a_server_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    plan = load_plan([1], CASES, Bounds(1), Spec(url="http://127.0.0.1:9"), Sampling())
    with pytest.raises(EngineError, match="Nothing answers"):
        asyncio.run(load(plan, CASES, Bounds(1), tmp_path / "out", lambda _: None))
    assert not (tmp_path / "out").exists()


def test_this_machine_bears_no_load() -> None:
    with pytest.raises(EngineError, match="one request at a time"):
        load_plan([1], CASES, Bounds(), Spec(), Sampling())


def test_a_prompt_that_asks_what_cannot_be_is_told_before_anything_runs() -> None:
    case = Case("one", "First?", changes={"length": 0})
    with pytest.raises(OptionError, match="length is a whole number"):
        load_plan([1], [case], Bounds(), Spec(url="http://a"), Sampling())


def logged(folder: Path, *answers: Sequence[Record], level: int = 2) -> Path:
    """A raw log of requests that ran at one time."""
    folder.mkdir(exist_ok=True)
    recorder = Recorder(folder / RAW, new=True)
    plan = Plan("load", (Method(str(level)),), Spec(url="http://a"), Sampling())
    records: list[Record] = [plan, CASES[0]]
    for number, answer in enumerate(answers, start=1):
        records += [Trial("load", None, True, "one", str(level), number, False), *answer]
    for record in records:
        recorder.append(record)
    recorder.close()
    return folder / RAW


def request(at: int, first: int, gaps: Sequence[int], *, tokens: bool = True) -> list[Record]:
    """Started at `at` ms; two tokens come in after `first` ms and with each gap."""
    start = Start(at * MS, (), 0, False, Spec(url="http://a"), Sampling())
    times = [at + first + sum(gaps[:n]) for n in range(len(gaps) + 1)]
    counts = [2 * n + 2 if tokens else None for n in range(len(times))]
    chunks = [Chunk(t * MS, "ab", n) for t, n in zip(times, counts, strict=True)]
    end = times[-1] * MS
    n = 2 * len(times) if tokens else None
    return [start, *chunks, Served(end, 10, 0, n, rtt_ns=10 * MS), Stop(end, "stop")]


def test_rates_are_sums_over_the_time_of_the_level(tmp_path: Path) -> None:
    raw = logged(tmp_path, request(0, 100, [50, 150]), request(100, 200, [100, 600]))
    level = read_load(raw, {"ttft": 150, "e2el": 2000}).levels[0]
    assert level.seconds == 1.0
    assert level.request_throughput == 2.0
    assert level.output_throughput == 12.0
    assert level.total_throughput == 32.0
    assert level.goodput == 1.0
    assert level.ttft.samples == (100.0, 200.0)
    assert level.adjusted_ttft.samples == (90.0, 190.0)
    assert level.gaps.samples == (50.0, 150.0, 100.0, 600.0)
    assert level.tpot.samples == (200 / 5, 700 / 5)
    assert (level.counted, level.tokens_a_gap) == (True, 2.0)


def test_without_counts_gaps_are_of_pieces_and_rates_absent(tmp_path: Path) -> None:
    raw = logged(tmp_path, request(0, 100, [50]), request(0, 100, [70], tokens=False))
    told = read_load(logged(tmp_path / "b", request(0, 9, [70], tokens=False)), {"tpot": 9.0})
    assert read_load(raw).levels[0].output_throughput is None
    level = told.levels[0]
    assert (level.counted, level.gaps.samples) == (False, (70.0,))
    assert (level.tokens, level.output_throughput, level.total_throughput) == (None, None, None)
    assert level.goodput is None  # nobody can say what a token took
    assert level.request_throughput is not None
    text = "\n".join(as_text(each) for each in load_tables(told))
    assert "between pieces" in text
    assert "A piece is no token" in text


def test_an_answer_of_one_token_has_no_gap_that_is_too_long(tmp_path: Path) -> None:
    start = Start(0, (), 0, False, Spec(url="http://a"), Sampling())
    one: list[Record] = [
        start,
        Chunk(5 * MS, "a", 1),
        Served(6 * MS, 10, 0, 1),
        Stop(6 * MS, "stop"),
    ]
    assert read_load(logged(tmp_path, one), {"tpot": 1.0}).levels[0].good == 1


def test_the_record_is_strict_json_with_every_level(tmp_path: Path) -> None:
    raw = logged(tmp_path, request(0, 100, [50, 150]), request(100, 200, [100, 600]))
    record = json.loads(json.dumps(load_record(read_load(raw)), allow_nan=False))
    (level,) = record["levels"]
    assert level["concurrency"] == 2
    assert level["ttft_ms"]["mean"] == 150.0
    assert level["ttft_ms"]["p99"] is None  # of two
    assert level["itl_between"] == "tokens"
    assert record["limits_ms"] == {}


def test_the_export_has_what_vllm_bench_serve_writes(tmp_path: Path) -> None:
    raw = logged(tmp_path, request(0, 100, [50, 150]), request(100, 200, [100, 600]))
    found = read_load(raw)
    told = as_vllm(read_result(found.path), found.levels[0])
    assert (told["completed"], told["max_concurrency"], told["duration"]) == (2, 2, 1.0)
    assert (told["request_throughput"], told["output_throughput"]) == (2.0, 12.0)
    assert told["ttfts"] == [0.1, 0.2]
    assert told["itls"] == [[0.05, 0.15], [0.1, 0.6]]
    assert told["mean_itl_ms"] == 225.0
    assert told["mean_ttft_ms"] == 150.0
    assert told["mean_tpot_ms"] == 90.0
    assert json.dumps(told, allow_nan=False)


def test_nothing_is_written_over(wire: Wire, tmp_path: Path) -> None:
    found = read_load(run(wire, tmp_path / "out", [1], Bounds(1)).raw)
    names = [path.name for path in (*write_load(found), *write_load(found))]
    assert names == [
        *("load.json", "report.md", "vllm-bench-1.json"),
        *("load-2.json", "report-2.md", "vllm-bench-1-2.json"),
    ]


def test_the_command_line_measures_shows_and_keeps(
    wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENHUD_API_KEY", "sk-secret")
    line = ["bench", "--url", wire.url, "--concurrency", "1,2", "--requests", "4", "dialogue"]
    line += ["--out", str(tmp_path / "out"), "--json", "--goodput", "ttft:60000", "tpot:60000"]
    assert main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["completed"] for each in told["levels"]] == [4, 4]
    assert all(each["request_goodput"] == each["request_throughput"] for each in told["levels"])
    kept = sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock")
    assert {"load.json", RAW, "vllm-bench-1.json", "vllm-bench-2.json"} <= set(kept)
    assert not any("sk-secret" in path.read_text() for path in (tmp_path / "out").iterdir())
    assert wire.asked[-1][1]["Authorization"] == "Bearer sk-secret"


def test_where_nothing_was_answered_the_status_says_so(
    wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.answer(CHAT, as_json({}, 500))
    line = ["bench", f"--url={wire.url}", "--concurrency=2", "--requests=2"]
    assert main([*line, f"--out={tmp_path / 'out'}"]) == 3
    assert "The server failed (500)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (["bench", "S1", "--concurrency", "4"], ["bench", "load", "S1", "--concurrency", "4"]),
        (["bench", "--concurrency=4"], ["bench", "load", "--concurrency=4"]),
        (["bench", "load", "--concurrency=4"], ["bench", "load", "--concurrency=4"]),
        (["bench", "S1"], ["bench", "run", "S1"]),
        (["ask", "--concurrency"], ["ask", "--concurrency"]),
    ],
)
def test_bench_with_a_concurrency_is_a_load(line: list[str], meant: list[str]) -> None:
    assert completed(line) == meant


@pytest.mark.parametrize("text", ["", "0", "1,x", "1.5", "-1", "99999"])
def test_what_is_no_level_is_told(text: str) -> None:
    with pytest.raises(EngineError, match="--concurrency takes"):
        levels_of(text)


@pytest.mark.parametrize("text", ["ttft", "ttft:x", "itl:5", "ttft:-1", "ttft:inf", "dialogue"])
def test_what_is_no_limit_is_told(text: str) -> None:
    with pytest.raises(EngineError, match="--goodput takes"):
        limits_of([text])


def test_a_server_that_counts_nothing_still_has_its_times(wire: Wire, tmp_path: Path) -> None:
    wire.answer("/v1/models", models("m", owner="me"))
    wire.answer(CHAT, Reply([LLAMA_CPP_PYTHON.data]))
    found = read_load(run(wire, tmp_path / "out", [1], Bounds(2)).raw)
    assert found.levels[0].ttft.n == 2
    assert found.levels[0].output_throughput is None
    assert any("number of its tokens" in note for note in found.notes)
