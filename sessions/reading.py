"""Reading a log of any size, from anyone: a line at a time, bad ones reported and passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..engines.events import EngineError
from .clean import one_line
from .encoding import numbered_record
from .records import SCHEMA_VERSION, Header, Record
from .schema import RecordError

LONGEST_LINE = 16 * 1024 * 1024  # bytes
HOPELESS = 100  # lines without one record: not a log at all
_CHUNK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
# Lines as `to_line` begins them; inside a text the quotes would be escaped.
_TURN = re.compile(rb'\{"seq":\d+,"type":"turn"')
_STANDING = re.compile(rb'\{"seq":\d+,"type":"(?:header|setting|loaded|clear)".*')
_FOREIGN = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "gzip-compressed",
    b"GGUF": "a model file",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that is no record, or that shows records to be missing before it."""

    line: int  # 1, 2, ...
    why: str

    def __str__(self) -> str:
        return f"line {self.line} {self.why}"


class Entry(NamedTuple):
    """One line as read. A line that is no record counts as the number that it took."""

    line: int
    seq: int
    record: Record | None
    problem: Problem | None
    skipped: int = 0  # lines left unread before this one


def read(path: Path) -> Iterator[Record | Problem]:
    """All that a log holds, in order, without locking it. Raises EngineError where the file can't
    be read or is no log."""
    for entry in entries(path):
        if entry.problem:
            yield entry.problem
        if entry.record:
            yield entry.record


def only_records(items: Iterable[Record | Problem]) -> Iterator[Record]:
    """What of a log could be read."""
    return (each for each in items if not isinstance(each, Problem))


def entries(path: Path, tail: int | None = None) -> Iterator[Entry]:
    """Every line of a log. Given `tail`, the turns that begin before its last `tail` bytes are
    left unread, though what was set or loaded between them is not."""
    seq: int | None = 0
    hopeful = False
    with opened(path) as file:
        border = os.fstat(file.fileno()).st_size - tail if tail is not None else 0
        for line in _lines(file, border):
            entry = _entry(line, None if line.skipped else seq)
            hopeful = hopeful or entry.record is not None
            if not hopeful and line.number >= HOPELESS:
                break
            _refuse_newer(entry.record, path)
            seq = entry.seq + 1
            yield entry
    if not hopeful:
        raise EngineError(f"{one_line(str(path))} holds no session.")


def recent(path: Path, size: int) -> Iterator[Record]:
    """The records in the last `size` bytes of a log; whatever else is there is passed over. Raises
    EngineError where the file can't be read."""
    with opened(path) as file:
        begin = os.fstat(file.fileno()).st_size - size
        if begin > file.tell():
            file.seek(begin)
            file.readline(size)
        for line in _lines(file, 0):
            if record := _entry(line, None).record:
                yield record


def opened(path: Path) -> BinaryIO:
    """The log's file, past any byte order mark."""
    shown = one_line(str(path))
    try:
        if not path.is_file():  # a pipe would block, a folder has no lines
            raise EngineError(f"There is no session file {shown}.")
        file = path.open("rb")
        start = file.read(4)
    except OSError as error:
        raise EngineError(f"{shown} cannot be read: {error.strerror}.") from None
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            file.close()
            raise EngineError(f"{shown} is {what}, not a session log.", "A log is UTF-8 text.")
    file.seek(len(_BOM) if start.startswith(_BOM) else 0)
    return file


class _Line(NamedTuple):
    number: int
    text: bytes | None  # None where it is too long to hold
    skipped: int = 0


def _lines(file: BinaryIO, border: int) -> Iterator[_Line]:
    """Lines that aren't blank. The turns that begin before the offset `border` are skimmed."""
    number = skipped = 0
    while text := file.readline(LONGEST_LINE):
        number += 1
        if border and _TURN.match(text) and file.tell() < border:
            number, skipped = yield from _skim(file, border, number)
            border = 0
        elif not _is_whole(text, LONGEST_LINE):
            while not _is_whole(file.readline(_CHUNK), _CHUNK):
                pass
            yield _Line(number, None, skipped)
            skipped = 0
        elif not text.isspace():
            yield _Line(number, text, skipped)
            skipped = 0


def _skim(file: BinaryIO, border: int, number: int) -> Generator[_Line, None, tuple[int, int]]:
    """Passes over line `number` and what follows until a turn begins after `border`, yielding only
    what still stands then; where none begins, the last line too, which has the last number.
    Returns the number of the last line passed, and how many were since the last yield."""
    seen, last = number - 1, b""
    while chunk := _chunk(file, border):
        if _TURN.match(chunk) and file.tell() - len(chunk) >= border:
            file.seek(-len(chunk), os.SEEK_CUR)
            break
        line, where = number + 1, 0
        for found in _STANDING.finditer(chunk):
            line, where = line + chunk.count(b"\n", where, found.start()), found.start()
            if where and chunk[where - 1] != ord("\n"):
                continue  # a damaged line may hold anything
            yield _Line(line, found[0], line - seen - 1)
            seen = line
        number, last = number + chunk.count(b"\n"), chunk
    else:
        if number > seen:
            yield _Line(number, last[last.rfind(b"\n", 0, -1) + 1 :], number - seen - 1)
            seen = number
    return number, number - seen


def _chunk(file: BinaryIO, border: int) -> bytes:
    """Many whole lines up to `border`, one after it."""
    left = border - file.tell()
    return (file.read(min(_CHUNK, left)) if left > 0 else b"") + file.readline(LONGEST_LINE)


def _is_whole(text: bytes, limit: int) -> bool:
    return text.endswith(b"\n") or len(text) < limit


def _entry(line: _Line, expected: int | None) -> Entry:
    try:
        if line.text is None:
            raise RecordError(f"is longer than {LONGEST_LINE >> 20} MB")
        seq, record = numbered_record(line.text.decode("utf-8"))
    except UnicodeDecodeError:
        return _bad(line, expected, "is not UTF-8")
    except RecordError as error:
        return _bad(line, expected, str(error))
    problem = None
    if expected is not None and seq != expected:
        problem = Problem(line.number, f"is record {seq} where {expected} should be")
    return Entry(line.number, seq, record, problem, line.skipped)


def _bad(line: _Line, expected: int | None, why: str) -> Entry:
    return Entry(line.number, expected or 0, None, Problem(line.number, why), line.skipped)


def _refuse_newer(record: Record | None, path: Path) -> None:
    if isinstance(record, Header) and record.schema_version > SCHEMA_VERSION:
        raise EngineError(
            f"{one_line(str(path))} was written by tokenhud {one_line(record.tokenhud_version)}, "
            "which is newer than this one.",
            "Update tokenhud to read it.",
        )
