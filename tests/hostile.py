"""What must hold of a log whatever bytes it has, for tests that make such bytes."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from tests.fakes import ScriptedEngine
from tests.saved import HEADER, lines, session, turn
from tokenhud.engines.events import EngineError
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions import log as log_module
from tokenhud.sessions.chat import Chat
from tokenhud.sessions.clean import clean
from tokenhud.sessions.conversation import conversation
from tokenhud.sessions.export import FORMS
from tokenhud.sessions.library import delete, glance, restore
from tokenhud.sessions.log import Log
from tokenhud.sessions.overview import overview
from tokenhud.sessions.places import list_sessions
from tokenhud.sessions.reading import Problem, read
from tokenhud.sessions.records import Record, Setting, Trial, Undo
from tokenhud.sessions.search import Words, search
from tokenhud.tui.chat.panel import panel, view, words
from tokenhud.tui.chat.readings import Readings
from tokenhud.tui.headless.session_words import listing, shown

SUFFIX = Spec(drafter="suffix")
RECORDS = session(
    turn(1, "Why is the sky blue?", ["Be", "cause", " of", " 光"]),
    [Setting("drafter", "suffix"), Trial("verify", 1), *turn(9, "", ["tried"])[1:]],
    turn(2, "And the sea?", ["It", " mirrors", " it."], SUFFIX),
    [Undo(2)],
    turn(3, "Really?", ["Yes."], reason="length"),
)
WHOLE = lines(RECORDS)


def survives(data: bytes) -> None:
    """Does everything with a log of these bytes that a person can: reads, opens, shows, searches,
    exports, deletes, restores. What is wrong with it may be told by EngineError alone; what comes
    before the first difference to WHOLE is kept, and so is every byte."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        path.write_bytes(data)
        items: list[Record | Problem] = []
        with suppress(EngineError):
            items.extend(read(path))
        _keeps_what_comes_first(items, data)
        _can_be_used(path, items)
        assert path.read_bytes() == data
        _opens_without_loss(path, data)
        left = path.read_bytes()
        delete("x", path.parent)
        restore("x", path.parent)
        assert path.read_bytes() == left


def _keeps_what_comes_first(items: list[Record | Problem], data: bytes) -> None:
    fault = next((n for n, (a, b) in enumerate(zip(WHOLE, data, strict=False)) if a != b), None)
    kept = WHOLE.count(b"\n", 0, min(len(WHOLE), len(data)) if fault is None else fault)
    records = [each for each in items if not isinstance(each, Problem)]
    assert records[:kept] == RECORDS[:kept]


def _can_be_used(path: Path, items: list[Record | Problem]) -> None:
    told = [listing([glance(each) for each in list_sessions(path.parent)], 0)]
    told.append(shown("x", overview(items)))
    with suppress(EngineError):
        told += [hit.excerpt for hit in search(path, Words("s")) if hit]
    for form in FORMS.values():
        out = io.StringIO()
        form.write("x", items, out)
        out.getvalue().encode("utf-8")
    assert all(clean(text) == text for text in told)


def _opens_without_loss(path: Path, data: bytes) -> None:
    try:
        log = Log.open(path)
    except EngineError:
        assert path.read_bytes() == data
        return
    log.close()
    _is_on_screen(log.records)
    with patch.object(log_module, "TAIL", 800), suppress(EngineError):
        end = Log.open(path)
        end.close()
        _is_on_screen(end.records)
        assert all(each in log.records for each in end.records)
    left, torn = path.read_bytes(), path.with_name("x.jsonl.torn")
    if torn.exists():
        assert left + torn.read_bytes() == data + b"\n"
        assert left.endswith(b"\n") or not left
    else:
        assert left in (data, data + b"\n")


def _is_on_screen(records: list[Record]) -> None:
    conversation(records, Spec(), Sampling()).messages()
    chat = Chat(ScriptedEngine(), Log.in_memory(HEADER), Spec(), Sampling())
    for now_ns in (0, 2**62):
        seen = view(Readings.of(records), chat, now_ns)
        told = [word.text for line in words(seen, 100) for word in line]
        told += [text for row in panel(seen, 40, 60) for text in row[:2]]
        assert all(clean(text) == text for text in told)
