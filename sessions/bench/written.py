"""A result as people and programs take it away: text, JSON, CSV, Markdown, pictures."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...engines.events import EngineError
from ..writing import write_new, write_new_text
from .chart import Chart
from .charts import charts
from .comparison import Comparison
from .draw_file import draw_file
from .draw_text import draw_text
from .record import result_record
from .result import Result
from .samples_csv import samples_csv
from .tables import Table, as_markdown, tables
from .tables import as_text as table_text

RESULT, SAMPLES, REPORT = "result.json", "samples.csv", "report.md"
WIDTH, HEIGHT = 76, 20


@dataclass(frozen=True)
class Report:
    """A result and the verdict on it; what several forms need is made once."""

    result: Result
    comparison: Comparison | None = None

    @cached_property
    def tables(self) -> list[Table]:
        return tables(self.result, self.comparison)

    @cached_property
    def charts(self) -> list[Chart]:
        return charts(self.result)

    @cached_property
    def record(self) -> dict[str, Any]:
        return result_record(self.result, self.comparison)

    def as_text(self, full: bool = False, width: int | None = None) -> str:
        """For a terminal of `width` columns: the tables that a person looks at first, or all."""
        shown = (each for each in self.tables if full or each.first)
        return "\n\n".join(table_text(each, width) for each in shown)

    def as_json(self) -> str:
        return json.dumps(self.record, allow_nan=False)

    def draw(self) -> str:
        """The charts, for a terminal."""
        encoding = sys.stdout.encoding or "ascii"
        drawn = (draw_text(each, WIDTH, HEIGHT, False, encoding) for each in self.charts)
        return "\n\n".join(drawn)

    def write(self, svg: bool = False) -> list[Path]:
        """Beside the raw log, over nothing that is there. Pictures need matplotlib and are left out
        without it. Raises EngineError where the folder can't be written."""
        assert self.result.path, "a result that was run has a raw log"
        folder, kind = self.result.path.parent, "svg" if svg else "png"
        written = [
            write_new(folder, RESULT, self.record),
            write_new_text(folder, SAMPLES, samples_csv(self.result)),
            write_new_text(folder, REPORT, as_markdown(self.tables)),
        ]
        with suppress(EngineError):
            written += [
                draw_file(each, folder / f"{_name(each.title)}.{kind}") for each in self.charts
            ]
        return written


def _name(title: str) -> str:
    return "-".join(title.lower().replace("γ", "gamma").split())
