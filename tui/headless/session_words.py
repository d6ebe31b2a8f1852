"""Saved sessions in words, for the screen and for a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ...engines.options import Sampling, Spec, to_record
from ...sessions import figures
from ...sessions.clean import clean, one_line
from ...sessions.library import Glance
from ...sessions.overview import Overview, Preview
from ...sessions.places import Session
from ...sessions.saved import About
from ...sessions.search import Hit

NONE_SAVED, NONE_DELETED = "No session is saved yet.", "No session is deleted."
_NAME, _METHODS, _EXCERPT = 40, 60, 200  # columns at most
_SAID = 400  # characters of a message in a preview
_SHOWN = 20  # turns of a preview
_TURN_HEAD = f"{'turn':>5} {'prompt':>7} {'tokens':>7} {'TTFT':>8} {'tok/s':>7} {'kept':>6}  how"


def listing(glances: Sequence[Glance], more: int) -> str:
    """A line a session, and how many older ones there are; "" where there is none."""
    lines = [_glance(each) for each in glances]
    if any(not each.whole for each in glances):
        lines.append("~ of the last turns of a long log")
    return "\n".join([*lines, *([f"and {more:,} older ones"] if more > 0 else [])])


def names(sessions: Sequence[Session], more: int) -> str:
    """The same from the folder alone, no log opened."""
    lines = [f"{_dated(each)}  {one_line(each.name)}" for each in sessions]
    return "\n".join([*lines, *([f"and {more:,} older ones"] if more > 0 else [])])


def now_named(name: str, path: Path, wanted: Path) -> str:
    """What a session is called after it was moved to `path`, where `wanted` was asked for."""
    why = "" if path.stem == wanted.stem else f"; {one_line(wanted.stem)} is the name of another"
    return f"{one_line(name)} is now {one_line(path.stem)}{why}."


def begun(found: Preview) -> str:
    """How a session began: its settings, and its first messages and answers."""
    about = found.overview.about
    lines = [*_header(about), *_changed(about)]
    for user, answer in found.begun:
        lines += ["", f"▸ {_part(user)}", _part(answer) or figures.ABSENT]
    return "\n".join(lines)


def came_to(found: Preview) -> str:
    """The figures of its last turns; each line stands for itself."""
    rows = found.overview.rows
    more = bool(found.left_out) or len(rows) > _SHOWN
    return "\n".join(
        [
            _TURN_HEAD,
            *(["… earlier turns"] if more else []),
            *map(_row, rows[-_SHOWN:]),
            f"{'~' if found.left_out else ''}{_totals(found.overview)}",
            *_faults(found.overview.about),
        ]
    )


def when(session: Session) -> str:
    return f"{datetime.fromtimestamp(session.modified):%Y-%m-%d %H:%M}"


def shown(name: str, found: Overview, last: int | None = None) -> str:
    """One session: what ran, the figures of its turns or of the `last` ones, what can't be read."""
    rows = found.rows if last is None else found.rows[-last:]
    left = len(found.rows) - len(rows)
    return "\n".join(
        [
            one_line(name),
            *_header(found.about),
            *_changed(found.about),
            _TURN_HEAD,
            *([f"… {left:,} earlier turns"] if left else []),
            *map(_row, rows),
            _totals(found),
            *_faults(found.about),
        ]
    )


def hit_line(name: str, hit: Hit) -> str:
    return f"{one_line(name, _NAME)} · {hit_head(hit)}: {one_line(hit.excerpt, _EXCERPT)}"


def hit_head(hit: Hit) -> str:
    return f"turn {hit.turn_id} · {'you' if hit.role == 'user' else 'answer'}"


def _dated(session: Session) -> str:
    return f"{when(session)}  {figures.size(session.size):>9}"


def _part(text: str) -> str:
    """The begin of what somebody said, its lines kept."""
    said = clean(text).strip()
    return said if len(said) <= _SAID else f"{said[:_SAID]}…"


def _glance(each: Glance) -> str:
    line = f"{_dated(each.session)}  {one_line(each.session.name, _NAME)}"
    if each.fault:
        return f"{line}  {one_line(each.fault)}"
    parts = [
        f"{figures.count(each.turns)} turn{'' if each.turns == 1 else 's'}",
        one_line(each.model or figures.ABSENT, _NAME),
        one_line(", ".join(each.methods) or figures.ABSENT, _METHODS),
        f"{'' if each.whole else '~'}{figures.rate(each.decode_rate)} tok/s",
    ]
    return f"{line}  {' · '.join(parts)}"


def _header(about: About) -> list[str]:
    lines = []
    if about.header:
        created, version = about.header.created, about.header.tokenhud_version
        lines.append(f"begun {one_line(created)} with tokenhud {one_line(version)}")
    if about.model:
        model = about.model
        lines.append(f"model {one_line(model.name)}, weights {one_line(model.quantization)}")
    return lines


def _changed(about: About) -> list[str]:
    """The settings that were in force at the end, where they are not the usual ones."""
    usual = to_record(Spec()) | to_record(Sampling())
    now: dict[str, Any] = to_record(about.spec) | to_record(about.sampling)
    changed = [f"{name} {now[name]}" for name in now if now[name] != usual[name]]
    lines = [f"settings {one_line(', '.join(changed))}"] if changed else []
    return lines + ([f"system {one_line(about.system)}"] if about.system is not None else [])


def _row(row: dict[str, Any]) -> str:
    ttft = row["ttft_ms"]
    end = row["finish_reason"] or "unfinished"
    how = [one_line(row["drafter"] or figures.ABSENT), *([end] if end != "stop" else [])]
    how += ["cold"] if row["cache_state"] == "cold" else []
    how += [one_line(row["error"])] if row["error"] else []
    return (
        f"{row['turn_id']:>5} {figures.count(row['prompt_tokens']):>7}"
        f" {figures.count(row['completion_tokens']):>7}"
        f" {figures.duration(None if ttft is None else ttft / 1e3):>8}"
        f" {figures.rate(row['decode_tps']):>7}"
        f" {figures.percent(row['draft_acceptance_rate']):>6}  {' · '.join(how)}"
    )


def _totals(found: Overview) -> str:
    totals = found.totals
    return (
        f"{'Σ':>5} {'':7} {figures.count(totals.tokens):>7} {'':8}"
        f" {figures.rate(totals.decode_rate):>7} {figures.percent(totals.acceptance):>6}"
        f"  of {totals.measured} whole and warm turns"
    )


def _faults(about: About) -> list[str]:
    lines = [f"Unreadable: {clean(str(each))}." for each in about.problems]
    more = about.faults - len(about.problems)
    lines += [f"{more:,} more lines like these."] if more else []
    if about.undone:
        lines.append(f"Taken back: turns {one_line(', '.join(map(str, about.undone)))}.")
    return lines
