"""What a benchmark found, or why it found nothing."""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """Without a value `said` is why; else it adds to it. `above` is what the value is known to
    exceed where no more is known of it; `failed` tells an error from what can't run here."""

    value: float | None
    said: str = ""
    above: float | None = None
    failed: bool = False
