from __future__ import annotations

import gzip
import multiprocessing
import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokenhud.engines.events import EngineError, Event, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions import log as log_module
from tokenhud.sessions import reading
from tokenhud.sessions.encoding import to_line
from tokenhud.sessions.log import Log, Problem, read
from tokenhud.sessions.records import Header, Record, Setting, Turn

HEADER = Header(1, "2026-01-02T03:04:05.678+00:00", "1.0", {}, Spec(), Sampling())


def turn(number: int, text: str = "Hi") -> Turn:
    return Turn(number, text, "2026-01-02T03:04:06+00:00")


def answer(*words: str) -> list[Event]:
    steps = [Step((n,), (word,), 0, 0, n) for n, word in enumerate(words)]
    return [Start(0, (1, 2), 0, False, Spec(), Sampling()), *steps, Stop(9, "stop")]


def saved(folder: Path, turns: int = 2, text: str = "Hi") -> Path:
    log = Log.create(folder, HEADER)
    for number in range(turns):
        for record in (turn(number + 1, text), *answer("a", "b")):
            log.append(record)
    path = log.path
    log.close()
    assert path is not None
    return path


def records(path: Path) -> list[Record]:
    return [each for each in read(path) if not isinstance(each, Problem)]


def problems(path: Path) -> list[Problem]:
    return [each for each in read(path) if isinstance(each, Problem)]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_appended_is_on_disk_at_once_and_in_order(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    log.append(Setting("gamma", 3))
    for record in (turn(1), *answer("wörd", "字")):
        log.append(record)
    assert log.path is not None
    assert records(log.path) == log.records
    assert log.records[:3] == [HEADER, Setting("gamma", 3), turn(1)]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_no_file_before_the_first_turn(tmp_path: Path) -> None:
    log = Log.create(tmp_path / "new", HEADER)
    log.append(Setting("gamma", 3))
    assert (log.path, log.warning) == (None, "")
    log.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_sessions_of_one_second_have_files_of_their_own(tmp_path: Path) -> None:
    logs = [Log.create(tmp_path, HEADER) for _ in range(10)]
    for number, log in enumerate(logs):
        log.append(turn(number))
    assert len({log.path for log in logs}) == 10
    for number, log in enumerate(logs):
        assert log.path is not None
        assert records(log.path)[1] == turn(number)
        log.close()


def test_a_closed_log_writes_no_more(tmp_path: Path) -> None:
    for begun in (True, False):
        log = Log.create(tmp_path / str(begun), HEADER)
        if begun:
            log.append(turn(1))
        log.close()
        before = [each.read_bytes() for each in (tmp_path / str(begun)).iterdir()]
        log.append(turn(2))
        log.close()
        assert [each.read_bytes() for each in (tmp_path / str(begun)).iterdir()] == before
        assert log.records[-1] == turn(2)


def test_nothing_but_logs_is_left_behind(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_session_is_resumed_where_it_ended(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = records(path)
    log = Log.open(path)
    assert log.records == before
    log.append(turn(3))
    log.close()
    assert records(path) == [*before, turn(3)]
    assert problems(path) == []


def test_appending_from_threads_weaves_nothing(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    log.append(turn(1))

    def append(word: str) -> None:
        for _ in range(50):
            log.append(Setting("system", word * 1000))

    threads = [threading.Thread(target=append, args=(word,)) for word in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert log.path is not None
    assert records(log.path) == log.records
    assert problems(log.path) == []
    assert len(log.records) == 202


def test_a_second_opener_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    path = saved(tmp_path)
    log = Log.open(path)
    with pytest.raises(EngineError, match="open in another"):
        Log.open(path)
    (tmp_path / "link.jsonl").symlink_to(path)
    with pytest.raises(EngineError, match="open in another"):
        Log.open(tmp_path / "link.jsonl")
    log.close()
    Log.open(path).close()


def _write_or_be_refused(path: Path, ready: threading.Barrier, told: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    ready.wait()
    try:
        log = Log.open(path)
    except EngineError:
        told.put("refused")
    else:
        for number in range(40):
            log.append(turn(number, "x" * 300_000))
        told.put("wrote")
    ready.wait()


def test_two_processes_never_share_a_file(tmp_path: Path) -> None:
    path = saved(tmp_path, turns=1)
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=_write_or_be_refused, args=(path, ready, told)) for _ in range(2)
    ]
    for each in both:
        each.start()
    assert sorted(told.get(timeout=30) for _ in both) == ["refused", "wrote"]
    for each in both:
        each.join()
    assert problems(path) == []
    assert sum(isinstance(each, Turn) for each in records(path)) == 41


@pytest.mark.parametrize("at", ["{}", "end"])
def test_a_torn_last_line_is_set_aside(tmp_path: Path, at: str) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    torn = to_line(turn(3, "ü" + at), 99).encode()[:-3]
    path.write_bytes(whole + torn)
    log = Log.open(path)
    assert [each.line for each in log.problems] == [whole.count(b"\n") + 1]
    log.append(turn(3))
    log.close()
    assert problems(path) == []
    assert path.read_bytes().startswith(whole)
    aside = path.with_name(path.name + ".torn")
    assert aside.read_bytes() == torn + b"\n"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600


def test_a_last_line_that_lacks_only_its_newline_is_kept(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = records(path)
    path.write_bytes(path.read_bytes()[:-1])
    log = Log.open(path)
    assert (log.records, log.problems) == (before, [])
    log.append(turn(3))
    log.close()
    assert records(path) == [*before, turn(3)]


@pytest.mark.parametrize(
    "bad", [b'{"seq":2,"ty', b"7", b"{}", b'{"seq":2,"type":"new"}', b"\xff\xfe\xff", b"[" * 10**5]
)
def test_a_bad_line_is_told_and_the_rest_is_kept(tmp_path: Path, bad: bytes) -> None:
    path = saved(tmp_path)
    lines = path.read_bytes().splitlines()
    kept = records(path)
    path.write_bytes(b"\n".join([*lines[:2], bad, *lines[3:]]) + b"\n")
    log = Log.open(path)
    assert [each.line for each in log.problems] == [3]
    assert log.records == kept[:2] + kept[3:]
    log.close()


def test_a_bad_first_line_costs_only_itself(tmp_path: Path) -> None:
    path = saved(tmp_path)
    kept = records(path)
    path.write_bytes(b"?" + path.read_bytes())
    assert records(path) == kept[1:]
    assert [each.line for each in problems(path)] == [1]


def test_missing_lines_are_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[5:]))
    assert problems(path) == [Problem(4, "is record 5 where 3 should be")]


def test_marks_and_line_ends_of_other_systems_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, text="a\u2028b\x85c\x0bd")
    before = records(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read(path)) == before


def test_files_that_are_no_log_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path)
    text = path.read_text("utf-8")
    files = {
        "UTF-16": text.encode("utf-16"),
        "gzip": gzip.compress(text.encode()),
        "no session": b"hello\n" * 10**5 + b"unfinished",
        "holds no session": b"",
    }
    for why, data in files.items():
        other = tmp_path / "other.jsonl"
        other.write_bytes(data)
        with pytest.raises(EngineError, match=why):
            Log.open(other)
        with pytest.raises(EngineError, match=why):
            list(read(other))
        assert other.read_bytes() == data
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, "other.jsonl"])


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("missing.jsonl", "pipe.jsonl", "."):
        with pytest.raises(EngineError):
            Log.open(tmp_path / name)
        with pytest.raises(EngineError):
            list(read(tmp_path / name))


def test_a_later_versions_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    later = Header(2, "", "9.9", {}, Spec(), Sampling())
    path.write_text(to_line(later, 0) + "\n", "utf-8")
    with pytest.raises(EngineError, match=r"tokenhud 9\.9"):
        Log.open(path)


def test_a_line_beyond_all_bounds_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    monkeypatch.setattr(reading, "_CHUNK", 100)
    path = saved(tmp_path, turns=1)
    kept = records(path)
    lines = path.read_bytes().splitlines(keepends=True)
    long = to_line(turn(7, "x" * 5000), 2).encode() + b"\n"
    path.write_bytes(b"".join([*lines[:2], long, *lines[3:]]))
    assert records(path) == kept[:2] + kept[3:]
    assert [each.line for each in problems(path)] == [3]


def test_of_a_long_log_the_head_the_settings_and_the_tail_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log.create(tmp_path, HEADER)
    for number in range(100):
        for record in (Setting("gamma", number % 9 + 1), turn(number), *answer("a", "b")):
            log.append(record)
    path, everything = log.path, log.records
    log.close()
    assert path is not None
    monkeypatch.setattr(log_module, "TAIL", path.stat().st_size // 10)
    log = Log.open(path)
    turns = [each for each in log.records if isinstance(each, Turn)]
    assert 5 < len(turns) < 12
    assert log.records[-40:] == everything[-40:]
    assert sum(isinstance(each, Setting) for each in log.records) == 100
    assert log.left_out + len(log.records) == len(everything)
    assert log.problems == []
    log.append(turn(101))
    log.close()
    assert records(path) == [*everything, turn(101)]
    assert problems(path) == []


def test_where_nothing_can_be_kept_the_chat_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = Log.create(tmp_path / "file" / "sessions", HEADER)
    assert log.path is None
    assert log.warning.startswith("This chat is not saved")
    for record in (turn(1), *answer("a")):
        log.append(record)
    assert log.path is None
    assert log.warning
    path = log.save_as(tmp_path / "kept.jsonl")
    log.append(turn(2))
    assert log.warning == ""
    assert records(path) == log.records
    log.close()


def test_a_full_disk_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    log.append(turn(1))
    assert log.path is not None
    with files_no_larger_than(4096):
        for number in range(2, 60):
            log.append(turn(number, "x" * 100))
        assert "not being saved" in log.warning
        on_disk = log.path.read_bytes()
        assert on_disk.endswith(b"\n")
        assert records(log.path) == log.records[: on_disk.count(b"\n")]
        assert len(on_disk) > 3000
    log.append(turn(60))
    assert log.warning == ""
    assert records(log.path) == log.records
    assert problems(log.path) == []
    log.close()


def test_what_waited_for_room_is_written_on_closing(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    log.append(turn(1))
    assert log.path is not None
    path = log.path
    with files_no_larger_than(path.stat().st_size + 5):
        log.append(turn(2))
    log.close()
    assert records(path) == log.records


def test_what_waits_for_room_can_be_saved_elsewhere(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    log.append(turn(1))
    assert log.path is not None
    with files_no_larger_than(log.path.stat().st_size + 5):
        log.append(turn(2))
    path = log.save_as(tmp_path / "roomy.jsonl")
    assert records(path) == log.records
    assert log.warning == ""
    log.close()


def test_a_rename_never_overwrites(tmp_path: Path) -> None:
    first, second = (Log.create(tmp_path, HEADER) for _ in range(2))
    for number, log in enumerate((first, second)):
        log.append(turn(number))
    assert first.rename("x") == tmp_path / "x.jsonl"
    assert first.rename("x") == tmp_path / "x.jsonl"
    assert second.rename("x") == tmp_path / "x-2.jsonl"
    first.append(turn(8))
    second.append(turn(9))
    for log in (first, second):
        assert log.path is not None
        assert records(log.path) == log.records
    with pytest.raises(EngineError, match="open in another"):
        Log.open(tmp_path / "x.jsonl")
    first.close()
    second.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-2.jsonl", "x.jsonl"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-rf", "x\0"])
def test_a_rename_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    log = Log.create(tmp_path / "sessions", HEADER)
    log.append(turn(1))
    before = log.path
    with pytest.raises(EngineError):
        log.rename(name)
    assert log.path == before
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]


def test_a_name_may_be_given_before_the_first_turn(tmp_path: Path) -> None:
    log = Log.create(tmp_path, HEADER)
    path = log.rename("early")
    log.append(turn(1))
    log.close()
    assert records(path) == [HEADER, turn(1)]


def test_saving_elsewhere_keeps_both_and_goes_on_there(tmp_path: Path) -> None:
    old = saved(tmp_path)
    before = old.read_bytes()
    log = Log.open(old)
    (tmp_path / "taken.jsonl").write_text("mine")
    path = log.save_as(tmp_path / "taken.jsonl")
    assert path == tmp_path / "taken-2.jsonl"
    log.append(turn(3))
    log.close()
    assert old.read_bytes() == before
    assert records(path) == log.records
    assert (tmp_path / "taken.jsonl").read_text() == "mine"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_save_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    log = Log.open(saved(tmp_path))
    before = log.path
    with files_no_larger_than(100), pytest.raises(EngineError):
        log.save_as(tmp_path / "new.jsonl")
    assert not (tmp_path / "new.jsonl").exists()
    log.append(turn(3))
    assert log.path == before
    assert records(log.path or tmp_path) == log.records
    log.close()
