"""Reading a log of any size, from anyone: a line at a time, bad ones reported and passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..engines.events import EngineError
from .clean import one_line
from .encoding import numbered_record
from .records import SCHEMA_VERSION, Header, Record
from .schema import BadRecord

LONGEST_LINE = 16 * 1024 * 1024  # bytes
HOPELESS = 100  # lines without one record: not a log at all
_CHUNK = 1024 * 1024
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

    seq: int
    record: Record | None
    problem: Problem | None


def read(path: Path) -> Iterator[Record | Problem]:
    """All that a log holds, in order, without locking it. Raises EngineError where the file can't
    be read or is no log."""
    with opened(path) as file:
        for entry in entries(file, path):
            if entry.problem:
                yield entry.problem
            if entry.record:
                yield entry.record


def opened(path: Path) -> BinaryIO:
    """The log's file, past any byte order mark."""
    shown = one_line(str(path))
    try:
        if not path.is_file():  # a pipe would block, a folder has no lines
            raise EngineError(f"There is no session file {shown}.", "/sessions lists what there is.")
        file = path.open("rb")
        start = file.read(4)
    except OSError as error:
        raise EngineError(f"{shown} cannot be read: {error.strerror}.") from None
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            file.close()
            raise EngineError(f"{shown} is {what}, not a session log.", "A log is JSON lines in UTF-8.")
    file.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
    return file


def entries(file: BinaryIO, path: Path, line: int = 0, seq: int | None = 0) -> Iterator[Entry]:
    """Entries from where `file` stands, `line` lines down, where record `seq` is expected (None is
    any). Raises EngineError where there is no record, or a later version's."""
    hopeful = line > 0
    for number, text in _lines(file, line + 1):
        entry = _entry(number, text, seq)
        seq = entry.seq + 1
        hopeful = hopeful or entry.record is not None
        if not hopeful and number >= HOPELESS:
            break
        _refuse_newer(entry.record, path)
        yield entry
    if not hopeful:
        raise EngineError(f"{one_line(str(path))} holds no session.")


def skip_to_tail(file: BinaryIO, size: int) -> int:
    """Moves `file` to the first turn that begins in its last `size` bytes, and tells how many lines
    it passed. Stays where there are fewer bytes, or no turn begins there."""
    here = file.tell()
    target = os.fstat(file.fileno()).st_size - size
    if target <= here:
        return 0
    passed = _count_newlines(file, target - here)
    file.readline()  # the end of a line cut by `target`
    passed += 1
    while text := file.readline(LONGEST_LINE):
        if b'"type":"turn"' in text[:100]:
            file.seek(-len(text), os.SEEK_CUR)
            return passed
        passed += text.endswith(b"\n")
    file.seek(here)
    return 0


def _entry(number: int, text: bytes | None, expected: int | None) -> Entry:
    try:
        if text is None:
            raise BadRecord(f"is longer than {LONGEST_LINE >> 20} MB")
        seq, record = numbered_record(text.decode("utf-8"))
    except UnicodeDecodeError:
        return Entry(expected or 0, None, Problem(number, "is not UTF-8"))
    except BadRecord as error:
        return Entry(expected or 0, None, Problem(number, str(error)))
    if expected is None or seq == expected:
        return Entry(seq, record, None)
    return Entry(seq, record, Problem(number, f"is record {seq} where {expected} should be"))


def _refuse_newer(record: Record | None, path: Path) -> None:
    if isinstance(record, Header) and record.schema_version > SCHEMA_VERSION:
        raise EngineError(
            f"{one_line(str(path))} was written by tokenhud {one_line(record.tokenhud_version)}, "
            "which is newer than this one.",
            "Update tokenhud to read it.",
        )


def _lines(file: BinaryIO, number: int) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines that aren't blank, None for one that is too long to hold."""
    while text := file.readline(LONGEST_LINE):
        if len(text) == LONGEST_LINE and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = file.readline(_CHUNK)
            yield number, None
        elif text.strip():
            yield number, text
        number += 1


def _count_newlines(file: BinaryIO, size: int) -> int:
    found = 0
    while size > 0 and (chunk := file.read(min(_CHUNK, size))):
        found += chunk.count(b"\n")
        size -= len(chunk)
    return found
