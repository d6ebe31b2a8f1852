"""Long logs: what is read of them and held in memory, by counts; never by time."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.saved import save, turn
from tokenhud.engines.events import Step
from tokenhud.sessions import log as log_module
from tokenhud.sessions import reading
from tokenhud.sessions.encoding import numbered_record
from tokenhud.sessions.export import FORMS
from tokenhud.sessions.log import Log
from tokenhud.sessions.overview import overview
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Record, Setting, Turn
from tokenhud.sessions.search import Words, search

STEPS = 50


def long_log(folder: Path, turns: int) -> Path:
    said = (turn(n, f"Question {n}", [" word"] * STEPS) for n in range(1, turns + 1))
    return save(folder, f"long-{turns}", *said)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the lines that were parsed."""
    lengths: list[int] = []

    def counted(text: str) -> tuple[int, Record]:
        lengths.append(len(text))
        return numbered_record(text)

    monkeypatch.setattr(reading, "numbered_record", counted)
    return lengths


def test_opening_parses_the_end_alone_however_long_the_log_is(
    tmp_path: Path, parsed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = 30_000
    monkeypatch.setattr(log_module, "TAIL", tail)
    for turns in (40, 160):
        path = long_log(tmp_path, turns)
        parsed.clear()
        log = Log.open(path)
        log.close()
        head = 5_000  # header, loaded and what shows that this is a log
        assert sum(parsed) < tail + head < path.stat().st_size
        last = [each for each in log.records if isinstance(each, Turn)][-1]
        assert last.turn_id == turns
        assert log.left_out > turns * STEPS // 2
        assert log.problems == []


def test_what_was_set_in_the_part_left_unread_still_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "TAIL", 20_000)
    path = save(
        tmp_path,
        "x",
        turn(1, "Hi", [" word"] * STEPS),
        [Setting("gamma", 9)],
        *(turn(n, "Hi", [" word"] * STEPS) for n in range(2, 40)),
    )
    log = Log.open(path)
    log.close()
    assert Setting("gamma", 9) in log.records
    assert sum(isinstance(each, Turn) for each in log.records) < 10


@pytest.mark.parametrize("end", [[], [Setting("gamma", 9)]])
def test_where_the_last_turn_is_longer_than_the_tail_all_of_it_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: list[Record]
) -> None:
    monkeypatch.setattr(log_module, "TAIL", 1_000)
    path = save(tmp_path, "x", turn(1, "Hi", ["a"]), turn(2, "Hi", [" word"] * STEPS), end)
    count = path.read_bytes().count(b"\n")
    log = Log.open(path)
    assert log.left_out + len(log.records) == count
    assert log.left_out > STEPS
    log.append(Setting("gamma", 5))
    log.close()
    items = list(read(path))
    assert len(items) == count + 1
    assert items[-1] == Setting("gamma", 5)


def streamed(path: Path) -> None:
    for _ in read(path):
        pass


def exported(form: str) -> Callable[[Path], None]:
    class Nowhere(io.StringIO):
        def write(self, text: str, /) -> int:
            return len(text)

    return lambda path: FORMS[form].write("x", read(path), Nowhere())


READERS: dict[str, Callable[[Path], object]] = {
    "read": streamed,
    "search": lambda path: list(search(path, Words("absent"))),
    **{form: exported(form) for form in FORMS},
}


def peak(run: Callable[[Path], object], path: Path) -> int:
    """Bytes at most held at once."""
    tracemalloc.start()
    try:
        run(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", READERS)
def test_a_log_four_times_as_long_takes_no_more_memory(tmp_path: Path, name: str) -> None:
    run = READERS[name]
    short, long = long_log(tmp_path, 10), long_log(tmp_path, 40)
    run(short)  # what is made once and kept counts for neither
    held = peak(run, short), peak(run, long)
    grown = long.stat().st_size - short.stat().st_size
    assert grown > 200_000
    assert held[1] - held[0] < grown / 4  # held as records it would be several times that


def test_an_overview_keeps_little_of_a_turn(tmp_path: Path) -> None:
    short, long = long_log(tmp_path, 10), long_log(tmp_path, 40)
    run: Callable[[Path], object] = lambda path: overview(read(path))  # noqa: E731
    run(short)
    grown = long.stat().st_size - short.stat().st_size
    assert peak(run, long) - peak(run, short) < grown / 2


def test_a_line_beyond_all_bounds_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 100_000)
    monkeypatch.setattr(reading, "_CHUNK", 100_000)
    path = long_log(tmp_path, 3)
    kept = list(read(path))
    with path.open("ab") as file:
        for _ in range(50):
            file.write(b"x" * 100_000)
        file.write(b"\n")
    assert peak(streamed, path) < 1_000_000
    items = list(read(path))
    assert items[:-1] == kept
    assert isinstance(items[-1], Problem)


def test_bad_lines_without_end_are_counted_not_kept(tmp_path: Path) -> None:
    path = long_log(tmp_path, 1)
    with path.open("ab") as file:
        file.write(b"?\n" * 20_000)
    about = overview(read(path)).about
    assert about.faults == 20_000
    assert len(about.problems) < 100


def test_one_turn_without_end_is_searched_and_shown(tmp_path: Path) -> None:
    path = save(tmp_path, "x", turn(1, "Hi", [" word"] * 5_000 + [" needle"]))
    (hit,) = filter(None, search(path, Words("needle")))
    assert hit.turn_id == 1
    (row,) = overview(read(path)).rows
    assert row["completion_tokens"] == 5_001
    assert sum(isinstance(each, Step) for each in read(path)) == 5_001
