"""When to paint: the engine may use the machine to the full, and a terminal may be slow."""

from __future__ import annotations

import os

from textual.driver import Driver

FRAME = 0.1  # seconds between two frames
REMOTE_FRAME = 0.25  # over SSH
SHARE = 0.015  # of the machine, which the engine may use to the full
HUNGRY = 0.4  # seconds after which a frame is painted whatever it costs
REST = 1.5  # from one frame to the next, in times that the terminal took for one
LONGEST = 3.0  # seconds without a frame, whatever the terminal does
CORES = os.cpu_count() or 1


def frame_here() -> float:
    remote = {"SSH_CONNECTION", "SSH_TTY"} & os.environ.keys()
    return REMOTE_FRAME if remote else FRAME


def backlog(driver: Driver | None) -> int:
    """What the terminal has not taken yet; 0 too where that cannot be known."""
    return getattr(driver, "backlog", 0)


class Pace:
    """To be asked once a `frame`. The terminal gets no frame before it has taken the last one, and
    fewer while it takes long."""

    def __init__(self, frame: float, cores: int = CORES) -> None:
        self.frame = frame
        self._cores = cores
        self._at = self._cpu = 0.0  # of the last frame, and the processor time by then
        self._every = frame
        self._late = False  # the last frame was seen waiting ...
        self._taken = True  # ... and then gone

    def due(self, now: float, cpu: float, backlog: int) -> bool:
        """`cpu` is the processor time of this process, `backlog` what waits for the terminal."""
        waited = now - self._at
        if waited >= LONGEST:
            return True
        if backlog:
            self._late = True
            return False
        if not self._taken:
            self._taken = True
            self._adapt(waited if self._late else 0.0)
        if waited < self._every - self.frame / 2:  # a timer may be early
            return False
        return cpu - self._cpu < SHARE * self._cores * waited or waited > HUNGRY

    def painted(self, now: float, cpu: float) -> None:
        if self._late and not self._taken:
            self._adapt(LONGEST)
        self._at, self._cpu = now, cpu
        self._late = self._taken = False

    def _adapt(self, took: float) -> None:
        """Slower at once, faster step by step."""
        self._every = min(max(self.frame, REST * took, self._every / 2), LONGEST)
