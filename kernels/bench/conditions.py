"""How often a benchmark runs, told without torch."""

from __future__ import annotations

from typing import NamedTuple


class Effort(NamedTuple):
    """Runs that count, after warm-ups that do not."""

    runs: int
    warmup: int


EFFORTS = {"quick": Effort(10, 2), "normal": Effort(100, 10), "precise": Effort(1000, 50)}
NORMAL = EFFORTS["normal"]
