"""A step in one line, for /debug: its counts, and its text as a difference of words is written."""

from __future__ import annotations

from rich.text import Text

from ...engines.events import Step
from ...sessions import figures
from ...sessions.clean import clean

HEADER = "drafted accepted emitted    time  {+accepted+}[-rejected-] own"
LEAST = 10  # cells of text, in however narrow a window


def step_line(step: Step, took_ns: int, width: int) -> str:
    accepted = "".join(step.pieces[: step.accepted])
    own = "".join(step.pieces[step.accepted :])
    counts = f"{step.drafted:7} {step.accepted:8} {len(step.tokens):7}"
    head = f"{counts} {figures.elapsed(took_ns):>7}  "
    parts = [("{+", accepted, "+}"), ("[-", step.rejected, "-]"), ("", own, "")]
    return head + _told(parts, max(width - len(head), LEAST))


def _told(parts: list[tuple[str, str, str]], room: int) -> str:
    """The parts that say something; what is too long for all is cut most."""
    said = [(before, _flat(text), after) for before, text, after in parts if text]
    room -= sum(len(before + after) for before, _, after in said)
    shortest_first = sorted((text for _, text, _ in said), key=lambda text: text.cell_len)
    for left, text in zip(range(len(said), 0, -1), shortest_first, strict=True):
        text.truncate(room // left, overflow="ellipsis")
        room -= text.cell_len
    return "".join(before + text.plain + after for before, text, after in said)


def _flat(text: str) -> Text:
    return Text(clean(text).replace("\n", "\\n").replace("\t", "\\t"))
