"""What is asked of a benchmark, told without torch: how often it runs, and what is enough."""

from __future__ import annotations

from typing import NamedTuple


class Effort(NamedTuple):
    """Runs that count, after warm-ups that do not."""

    runs: int
    warmup: int


EFFORTS = {"quick": Effort(10, 2), "normal": Effort(100, 10), "precise": Effort(1000, 50)}
NORMAL = EFFORTS["normal"]
FASTER, CLOSER = 3.0, 1e-6  # BK-Core: speed-up over the torch scan, mean squared error
