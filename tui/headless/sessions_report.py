"""`tokenhud sessions`: the saved sessions without a screen.

Every function returns the exit status and raises EngineError.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from ...engines.events import EngineError
from ...sessions import library
from ...sessions.clean import clean, one_line
from ...sessions.export import FORMS, export
from ...sessions.export_json import about_record
from ...sessions.export_png import PNG, export_png
from ...sessions.library import Glance, find_session, glance
from ...sessions.overview import overview
from ...sessions.places import deleted_folder, list_sessions, session_folder, session_path
from ...sessions.reading import read
from ...sessions.search import Words, search_all
from .session_words import NONE_DELETED, NONE_SAVED, hit_line, listing, now_named, shown

LISTED = 20
FOUND, NOTHING_FOUND = 0, 1
STDOUT = "-"


def list_report(limit: int | None = LISTED, deleted: bool = False, as_json: bool = False) -> int:
    """The newest `limit` sessions, or all of them; of the deleted ones where these are meant."""
    folder = session_folder()
    sessions = list_sessions(deleted_folder(folder) if deleted else folder)
    chosen = [glance(each) for each in sessions[:limit]]
    if as_json:
        _print_json([_glance_record(each) for each in chosen])
    else:
        none = NONE_DELETED if deleted else NONE_SAVED
        print(listing(chosen, len(sessions) - len(chosen)) or none)
    return FOUND


def show_report(name: str, as_json: bool = False) -> int:
    path = find_session(name, session_folder())
    found = overview(read(path))
    if as_json:
        about, totals = about_record(found.about), asdict(found.totals)
        whole = {name: totals[name] for name in _TOTALS}
        _print_json({"session": path.stem, "turns": found.rows, "totals": whole, **about})
    else:
        print(shown(path.stem, found))
    return FOUND


def search_report(text: str, limit: int | None = None, as_json: bool = False) -> int:
    """Hits as they are found, newest session first, a JSON object a line where that is asked for;
    1 where there is none. Logs that can't be read are named on standard error."""
    words, hits = Words(text), 0
    for each in search_all(list_sessions(session_folder()), words):
        if each.fault:
            print(clean(each.fault), file=sys.stderr)
        if each.hit:
            hits += 1
            record = {"session": each.session.name, **each.hit._asdict()}
            print(
                json.dumps(record) if as_json else hit_line(each.session.name, each.hit), flush=True
            )
        if hits == limit:
            return FOUND
    return FOUND if hits else NOTHING_FOUND


def rename_report(name: str, new: str) -> int:
    folder = session_folder()
    path = library.rename(name, new, folder)
    print(now_named(name, path, session_path(new, folder)))
    return FOUND


def delete_report(name: str, forever: bool = False) -> int:
    if forever:
        print(f"Removed: {one_line(str(library.delete_forever(name, session_folder())))}")
    else:
        path = library.delete(name, session_folder())
        print(f"Deleted: tokenhud sessions restore '{one_line(path.stem)}' takes it back.")
    return FOUND


def restore_report(name: str) -> int:
    print(f"Restored: {one_line(library.restore(name, session_folder()).stem)}")
    return FOUND


def export_report(name: str, form: str = "md", to: str = "", steps: bool = False) -> int:
    """`form` is csv, json, md, text or png (the charts); `to` a file or folder, the working folder
    where it is "", standard output where it is "-". `steps` asks for a row a step, in csv."""
    if steps and form != "csv":
        raise EngineError("Only csv has a row a step.", "Leave --steps out, or ask for csv.")
    path, form = find_session(name, session_folder()), "steps" if steps else form
    if form == PNG:
        for picture in export_png(path, to):
            print(f"Written: {one_line(str(picture), 2000)}")
    elif to == STDOUT:
        FORMS[form].write(path.stem, read(path), sys.stdout)
    else:
        print(f"Written: {one_line(str(export(path.stem, read(path), form, to)), 2000)}")
    return FOUND


_TOTALS = (
    *("turns", "measured", "cold", "cancelled", "failed", "unfinished"),
    *("tokens", "passes", "drafted", "accepted", "decode_rate", "e2e_rate"),
)


def _glance_record(each: Glance) -> dict[str, Any]:
    return {
        "session": each.session.name,
        "path": str(each.session.path),
        "modified": each.session.modified,
        "bytes": each.session.size,
        "turns": each.turns,
        "model": each.model,
        "methods": each.methods,
        "decode_tps": each.decode_rate,
        "whole": each.whole,
        "error": each.fault or None,
    }


def _print_json(record: Any) -> None:
    print(json.dumps(record, allow_nan=False))
