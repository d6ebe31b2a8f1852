"""The charts of a session as PNG files."""

from __future__ import annotations

from pathlib import Path

from ..engines.events import EngineError
from .bench.charts import charts
from .bench.draw_file import draw_file
from .bench.result import read_result
from .export import destination

PNG = "png"


def export_png(log: Path, to: str = "") -> list[Path]:
    """One file a chart in the folder that `to` means: see `destination`. Raises EngineError where
    there is nothing to draw, or no matplotlib to draw it with."""
    drawn = charts(read_result(log))
    if not drawn:
        raise EngineError("There is nothing to draw yet.", "It takes two answers that ended.")
    names = (f"{log.stem} {each.title.lower()}.png" for each in drawn)
    return [draw_file(each, destination(to, name)) for each, name in zip(drawn, names, strict=True)]
