"""A result as people and programs take it away: text, JSON, CSV, Markdown, pictures."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from ...engines.events import EngineError
from ..writing import write_new, write_new_text
from .charts import charts
from .comparison import Comparison
from .draw_file import draw_file
from .draw_text import draw_text
from .record import result_record
from .result import Result
from .samples_csv import samples_csv
from .tables import as_markdown, tables
from .tables import as_text as table_text

RESULT, SAMPLES, REPORT = "result.json", "samples.csv", "report.md"
WIDTH, HEIGHT = 76, 20


def as_text(
    result: Result,
    comparison: Comparison | None = None,
    full: bool = False,
    width: int | None = None,
) -> str:
    """For a terminal of `width` columns: the tables that a person looks at first, or all."""
    shown = (each for each in tables(result, comparison) if full or each.first)
    return "\n\n".join(table_text(each, width) for each in shown)


def as_json(result: Result, comparison: Comparison | None = None) -> str:
    return json.dumps(result_record(result, comparison), allow_nan=False)


def draw(result: Result, width: int = WIDTH, height: int = HEIGHT, colour: bool = False) -> str:
    """The charts, for a terminal."""
    encoding = sys.stdout.encoding or "ascii"
    return "\n\n".join(draw_text(each, width, height, colour, encoding) for each in charts(result))


def write(result: Result, comparison: Comparison | None = None, svg: bool = False) -> list[Path]:
    """Beside the raw log, over nothing that is there. Pictures need matplotlib and are left out
    without it. Raises EngineError where the folder can't be written."""
    assert result.path, "a result that was run has a raw log"
    folder = result.path.parent
    drawn, kind = charts(result), "svg" if svg else "png"
    written = [
        write_new(folder, RESULT, result_record(result, comparison)),
        write_new_text(folder, SAMPLES, samples_csv(result)),
        write_new_text(folder, REPORT, as_markdown(tables(result, comparison))),
    ]
    with suppress(EngineError):
        written += [draw_file(each, folder / f"{_name(each.title)}.{kind}") for each in drawn]
    return written


def _name(title: str) -> str:
    return "-".join(title.lower().replace("γ", "gamma").split())
