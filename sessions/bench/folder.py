"""The folder that a benchmark's results lie in: begun, found again after an interruption, never
overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path

from ...engines.events import EngineError
from ..clean import one_line
from ..places import results_folder
from ..reading import only_records, read
from ..records import Header, Record
from .experiment import Pass, finished_passes
from .plan import Case, Plan
from .recorder import Recorder
from .result import RAW
from .runs import runs


@dataclass(frozen=True, slots=True)
class Begun:
    """A folder and its open raw log; `finished` is what an earlier sitting did."""

    path: Path
    recorder: Recorder
    finished: frozenset[Pass] = frozenset()


def new_name(purpose: str, now: datetime | None = None) -> Path:
    """Where results go that nobody named a folder for."""
    stamp = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    return results_folder() / f"{stamp}_{purpose}"


def begin(folder: Path, header: Callable[[], Header], plan: Plan, cases: Sequence[Case]) -> Begun:
    """`folder` where it is free or holds the same plan unfinished, begun on the same machine by the
    same versions, else folder-2, folder-3, ...
    Raises EngineError where none can be written."""
    for path in _numbered(_absolute(folder)):
        raw = path / RAW
        try:
            if raw.is_file():
                now = header()
                if (done := _resumable(raw, now, plan, cases)) is None:
                    continue
                return Begun(path, _reopened(raw, now), done)
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                continue
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            shown = one_line(str(path))
            raise EngineError(
                f"{shown} cannot be written: {error.strerror}.", "Name another folder: --out DIR."
            ) from None
        recorder = Recorder(raw, new=True)
        records: tuple[Record, ...] = (header(), plan, *cases)
        for record in records:
            recorder.append(record)
        return Begun(path, recorder)
    raise AssertionError("numbers never end")


def _absolute(folder: Path) -> Path:
    try:
        path = folder.expanduser().resolve()
    except (OSError, RuntimeError):  # links in a circle, or no such person's home
        path = Path("/")
    if not path.name:
        raise EngineError(
            f"{one_line(str(folder))} can't hold results.", "Name a folder: --out DIR."
        )
    return path


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _resumable(raw: Path, now: Header, plan: Plan, cases: Sequence[Case]) -> frozenset[Pass] | None:
    """The passes that are done; None where it is another plan or place, or all of it is done."""
    try:
        began, *there = islice(only_records(read(raw)), len(cases) + 2)
        if there != [plan, *cases] or not isinstance(began, Header):
            return None
        if (began.environment, began.tokenhud_version) != (now.environment, now.tokenhud_version):
            return None
        done = finished_passes(plan, cases, runs(only_records(read(raw))))
    except (EngineError, ValueError):  # no log, or an empty one
        return None
    return None if len(done) >= plan.runs * len(plan.methods) else frozenset(done)


def _reopened(raw: Path, header: Header) -> Recorder:
    recorder = Recorder(raw, new=False)
    recorder.append(header)
    return recorder
