"""Raw figures as comma-separated values that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from ..export_csv import harmless
from .result import Result
from .samples import COLUMNS, sample_rows

_OBJECT = "memory"  # a column for each part


def samples_csv(result: Result) -> str:
    """A row an answer. Lists are numbers with blanks between; every text stands in quotes, and
    one that a spreadsheet would run is made harmless."""
    rows = sample_rows(result)
    parts = list(dict.fromkeys(part for row in rows for part in row[_OBJECT]))
    names = [name for name in COLUMNS if name != _OBJECT]
    out = io.StringIO()
    table = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow([*names, *(harmless(f"{_OBJECT}_{part}") for part in parts)])
    for row in rows:
        held = [row[_OBJECT].get(part) for part in parts]
        table.writerow([harmless(_flat(value)) for value in (*map(row.get, names), *held)])
    return out.getvalue()


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
