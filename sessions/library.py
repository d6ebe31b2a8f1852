"""The saved sessions as a collection: found, summed up, renamed, deleted and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from ..engines.events import EngineError
from . import figures
from .appending import Appender, LockedError
from .clean import one_line
from .places import (
    Session,
    deleted_folder,
    list_sessions,
    locate,
    numbered,
    reached,
    session_path,
)
from .reading import recent
from .saved import SavedTurn, saved_turns
from .summary import session_metrics
from .typed_names import unquoted

GLANCE = 128 * 1024  # bytes at a log's end that a listing reads ...
GAZE = 2 * 1024 * 1024  # ... or these, where no turn begins in them


class Glance(NamedTuple):
    """A session as a listing shows it, from the last turns of its log."""

    session: Session
    turns: int | None = None  # ever taken, undone ones too
    model: str | None = None
    methods: tuple[str, ...] = ()  # of decoding, in the order of their first use
    decode_rate: float | None = None  # tokens/s over the finished turns read
    whole: bool = True  # all turns were read
    fault: str = ""  # why nothing is known


def glance(session: Session) -> Glance:
    """Reads the end of the log alone, so that a long one costs no more than a short one."""
    try:
        turns = list(saved_turns(recent(session.path, GLANCE)))
        whole = session.size <= GLANCE
        if not turns and not whole:
            turns, whole = list(saved_turns(recent(session.path, GAZE))), session.size <= GAZE
    except EngineError as error:
        return Glance(session, fault=error.what)
    if not turns:
        return Glance(session, fault="It holds no turn." if whole else "Its last turn is long.")
    return _glance(session, turns, whole)


def _glance(session: Session, turns: list[SavedTurn], whole: bool) -> Glance:
    starts = [each.metrics.start for each in turns if each.metrics.start]
    methods = [figures.method(each.spec, each.sampling.num_beams) for each in starts]
    return Glance(
        session,
        turns[-1].turn.turn_id,
        Path(starts[-1].spec.model).name if starts else None,
        tuple(dict.fromkeys(methods)),
        session_metrics(each.metrics for each in turns).decode_rate,
        whole,
    )


def find_session(text: str, folder: Path) -> Path:
    """The file that a person's argument means. Raises EngineError, with the nearest name, where
    there is none."""
    explicit, name = text.startswith(("/", "~")), unquoted(text)
    return _there(locate(text, folder) if explicit else path_of(name, folder), name, folder)


def path_of(name: str, folder: Path) -> Path:
    """Where the session lies, or would. A name is taken as it stands where there is one of it: a
    folder may hold some that nobody could type."""
    listed = (each.path for each in list_sessions(folder) if each.name == name)
    return next(listed, None) or session_path(name, folder)


def rename(name: str, new: str, folder: Path) -> Path:
    """Numbered where the new name is taken. Raises EngineError, as do all of these, where there
    is no such session, a name is none, another process has it, or the disk refuses."""
    path, wanted = _named(name, folder), session_path(new, folder)
    return path if path == wanted else _move(path, wanted)


def delete(name: str, folder: Path) -> Path:
    """Moves the session to the deleted ones, whence `restore` takes it back."""
    path, bin_ = _named(name, folder), deleted_folder(folder)
    with reached(bin_):
        bin_.mkdir(mode=0o700, exist_ok=True)
    return _move(path, bin_ / path.name)


def delete_forever(name: str, folder: Path) -> Path:
    """Removes a session, or a deleted one where no other has that name. Returns where it lay."""
    path = path_of(name, folder)
    return _remove(path) if _is_file(path) else purge(name, folder)


def purge(name: str, folder: Path) -> Path:
    """Removes a deleted session. Returns where it lay."""
    return _remove(_named(name, deleted_folder(folder)))


def restore(name: str, folder: Path) -> Path:
    """Takes a deleted session back, numbered where its name is taken by now."""
    path = _named(name, deleted_folder(folder))
    return _move(path, folder / path.name)


def _named(name: str, folder: Path) -> Path:
    return _there(path_of(name, folder), name, folder)


def _remove(path: Path) -> Path:
    with _held(path) as file:
        _torn(path).unlink(missing_ok=True)
        path.unlink()
    return file.path


def _there(path: Path, text: str, folder: Path) -> Path:
    if _is_file(path):
        return path
    near = get_close_matches(text, [each.name for each in list_sessions(folder)], n=1)
    remedy = f"Did you mean {near[0]}?" if near else "/sessions list names them all."
    raise EngineError(f"There is no session {one_line(text, 60)}.", remedy)


def _is_file(path: Path) -> bool:
    with reached(path):
        return path.is_file()


def _move(path: Path, wanted: Path) -> Path:
    """Moves a log and what was once torn from it; overwrites nothing."""
    with _held(path) as file:
        for free in numbered(wanted):
            if _torn(free).exists():
                continue
            try:
                file.rename(free)
            except (FileExistsError, LockedError):
                continue
            break
        if _torn(path).exists():
            _torn(path).rename(_torn(file.path))
    return file.path


@contextmanager
def _held(path: Path) -> Iterator[Appender]:
    """The log, locked: nobody else appends to it meanwhile."""
    with reached(path):
        try:
            file = Appender(path, new=False)
        except LockedError:
            shown = one_line(path.stem)
            raise EngineError(f"{shown} is open in a tokenhud.", "Close it there.") from None
        with closing(file):
            yield file


def _torn(path: Path) -> Path:
    return path.with_name(f"{path.name}.torn")
