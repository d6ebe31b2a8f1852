"""`tokenhud report`: what is kept of all benchmarks, listed or in one report."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ...engines.events import EngineError
from ...sessions.bench.foreign import write_foreign
from ...sessions.bench.result import read_result
from ...sessions.bench.saved_results import Saved, kept, look, report_record
from ...sessions.bench.saved_results import report as written
from ...sessions.clean import one_line
from ...sessions.places import results_folder
from ...sessions.writing import write_new_text
from .plain import tell


def report(folders: Sequence[Path], out: Path | None, as_json: bool, listed: bool) -> int:
    """Of `folders`, or of all that is kept. Raises EngineError where there is none."""
    found = _found(folders)
    if listed:
        print(listing(found))
        return 0
    text = json.dumps(report_record(found), allow_nan=False) if as_json else written(found)
    if out and out.is_dir():
        out /= "report.json" if as_json else "report.md"
    if out:
        out = out.expanduser().absolute()
        tell(sys.stderr, f"Written: {write_new_text(out.parent, out.name, text)}")
    else:
        print(text)
    return 0


def convert(folders: Sequence[Path], form: str, out: Path | None) -> int:
    """Each of `folders`, or the latest result, as files of another tool. Raises EngineError."""
    for each in _found(folders) if folders else _found(folders)[:1]:
        for path in write_foreign(read_result(each.path), form, out or each.path / form):
            print(path)
    return 0


def listing(found: Sequence[Saved]) -> str:
    """A line for each folder."""
    return "\n".join(_line(each) for each in found)


def _line(each: Saved) -> str:
    holds = ", ".join(each.methods) or ", ".join(path.name for path in each.single)
    when, purpose = one_line(each.created[:16]).replace("T", " "), one_line(each.purpose, 20)
    return f"{when:16}  {purpose:8} {one_line(holds, 60)}\n  {one_line(str(each.path))}"


def _found(folders: Sequence[Path]) -> list[Saved]:
    if not folders:
        if found := kept(results_folder()):
            return found
        raise EngineError(
            f"No result is kept in {results_folder()}.", "`tokenhud bench` makes one."
        )
    looked = [(each, look(each)) for each in folders]
    for folder, one in looked:
        if one is None:
            raise EngineError(
                f"{one_line(str(folder))} holds no result.", "Name a folder that bench wrote."
            )
    return [one for _, one in looked if one]
