"""A session as one JSON object: docs/session.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TextIO

from ..engines.options import to_record
from .reading import Problem
from .records import Record
from .result import result
from .saved import About, SavedTurn, saved_turns

VERSION = 1  # of the form written here


def write_json(name: str, items: Iterable[Record | Problem], out: TextIO) -> None:
    """Turn by turn as they are read. ASCII: what is not is escaped, so that no terminal obeys
    it."""
    about, between = About(), "\n"
    out.write(f'{{"export_version": {VERSION}, "session": {json.dumps(name)}, "turns": [')
    for saved in saved_turns(about.noted(items)):
        out.write(between + json.dumps(_turn(saved), allow_nan=False))
        between = ",\n"
    out.write("\n],\n" + json.dumps(about_record(about), allow_nan=False)[1:] + "\n")


def about_record(about: About) -> dict[str, Any]:
    """What a session is besides its turns."""
    header = about.header
    return {
        "created": header.created if header else None,
        "tokenhud_version": header.tokenhud_version if header else None,
        "env": header.environment if header else None,
        "model": asdict(about.model) if about.model else None,
        "spec": to_record(about.spec),
        "sampling": to_record(about.sampling),
        "system": about.system,
        "undone": about.undone,
        "problem_count": about.faults,
        "problems": [asdict(each) for each in about.problems],
    }


def _turn(saved: SavedTurn) -> dict[str, Any]:
    start, stop = saved.metrics.start, saved.metrics.stop
    return {
        "turn_id": saved.turn.turn_id,
        "created": saved.turn.created,
        "prompt": saved.turn.text,
        "answer": saved.answer,
        **result(saved.metrics),
        "spec": to_record(start.spec) if start else None,
        "sampling": to_record(start.sampling) if start else None,
        "error": stop.what or None if stop else None,
    }
