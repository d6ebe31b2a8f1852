"""The file that an experiment's records go to as they come; nothing of them is kept in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from ...engines.events import EngineError, Stop
from ..appending import Appender, LockedError
from ..clean import one_line
from ..encoding import to_line
from ..log import mend
from ..reading import entries
from ..records import Record


class Recorder:
    """Appends from any thread. Unlike a chat, an experiment is worth nothing unrecorded: raises
    EngineError where the file can't be opened or written."""

    def __init__(self, path: Path, *, new: bool) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._next = 0
        try:
            self._file = Appender(path, new=new)
            if not new:
                mend(self._file)
                self._next = sum(1 for _ in entries(path))
        except LockedError:
            shown = one_line(str(path))
            raise EngineError(f"{shown} is open in another tokenhud.", "Wait for it.") from None
        except OSError as error:
            raise self._failed(error) from None

    def append(self, record: Record) -> None:
        with self._lock:
            self._file.add(to_line(record, self._next))
            self._next += 1
            try:
                self._file.flush()
                if isinstance(record, Stop):
                    self._file.sync()
            except OSError as error:
                raise self._failed(error) from None

    def close(self) -> None:
        with self._lock:
            try:
                self._file.close()
            except OSError as error:
                raise self._failed(error) from None

    def _failed(self, error: OSError) -> EngineError:
        return EngineError(
            f"{one_line(str(self.path))} cannot be written: {error.strerror}.",
            "Name another folder: --out DIR.",
        )
