"""What the terminal can show, and where a copied text can go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..clean import one_line
from .check import Check

GROUP = "terminal"
SMALLEST = 80, 24
PLAIN = "tokenhud --plain chats line by line."


@dataclass(frozen=True, slots=True)
class Window:
    """The terminal that this process writes to."""

    screen: bool  # it is one, not a pipe or a file
    size: tuple[int, int]
    encoding: str


def window() -> Window:
    try:
        columns, lines = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    except (OSError, ValueError):
        return Window(False, (0, 0), "")
    return Window(True, (columns, lines), getattr(sys.__stdout__, "encoding", "") or "")


def terminal(environ: Mapping[str, str], seen: Window) -> Iterator[Check]:
    if environ.get("TEXTUAL_DRIVER"):
        yield Check(GROUP, "terminal", "ok", "This chat is in a browser.")
        return
    if not seen.screen:
        said = "Output goes to a pipe or a file, so the terminal is not looked at."
        yield Check(GROUP, "terminal", "note", said)
        return
    yield _kind(environ)
    yield _size(seen)
    yield _encoding(seen)
    yield _colours(environ)
    yield _way(environ)
    yield _clipboard(environ)


def _kind(environ: Mapping[str, str]) -> Check:
    term = environ.get("TERM", "")
    if term in ("", "dumb"):
        said = f"TERM is {term or 'not set'}, which has no full screen."
        return Check(GROUP, "terminal", "warn", said, PLAIN)
    program = environ.get("TERM_PROGRAM") or environ.get("LC_TERMINAL") or ""
    by = f" by {one_line(program, 40)}" if program else ""
    return Check(GROUP, "terminal", "ok", f"{one_line(term, 40)}{by}.")


def _size(seen: Window) -> Check:
    columns, lines = seen.size
    if columns < SMALLEST[0] or lines < SMALLEST[1]:
        said = f"{columns} by {lines} cells: some figures do not fit."
        wanted = f"Make it {SMALLEST[0]} by {SMALLEST[1]} or larger."
        return Check(GROUP, "size", "warn", said, wanted)
    return Check(GROUP, "size", "ok", f"{columns} by {lines} cells.")


def _encoding(seen: Window) -> Check:
    if seen.encoding.lower().replace("-", "") != "utf8":
        said = f"Text is written as {seen.encoding or 'an unknown encoding'}, not as UTF-8."
        return Check(GROUP, "encoding", "warn", said, "Set LANG=C.UTF-8 or PYTHONUTF8=1.")
    return Check(GROUP, "encoding", "ok", "UTF-8.")


def _colours(environ: Mapping[str, str]) -> Check:
    if environ.get("NO_COLOR"):
        said = "NO_COLOR is set: meaning is told by marks and words alone."
        return Check(GROUP, "colours", "ok", said)
    if environ.get("COLORTERM") in ("truecolor", "24bit"):
        return Check(GROUP, "colours", "ok", "16 million.")
    term = environ.get("TERM", "")
    if "256color" in term or "direct" in term:
        return Check(GROUP, "colours", "ok", "256.")
    said = "16, by TERM and COLORTERM: themes are drawn in the nearest."
    return Check(GROUP, "colours", "note", said, "/theme ansi-dark uses the terminal's own.")


def _way(environ: Mapping[str, str]) -> Check:
    """What lies between the program and the person."""
    remote = "over SSH" if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") else "local"
    inside = "tmux" if environ.get("TMUX") else "GNU screen" if environ.get("STY") else ""
    return Check(GROUP, "way", "ok", f"{remote}, in {inside}." if inside else f"{remote}.")


def _clipboard(environ: Mapping[str, str]) -> Check:
    """By OSC 52, which no terminal answers: so it is told where it may fail."""
    said = "Copies go to the terminal's clipboard by OSC 52, which not every terminal takes."
    if environ.get("TMUX"):
        allowed = _tmux("set-clipboard")
        if allowed == "off":
            wanted = "tmux set -g set-clipboard on"
            return Check(GROUP, "clipboard", "warn", "tmux keeps copies to itself.", wanted)
        return Check(GROUP, "clipboard", "ok", f"{said} tmux passes them on.")
    if environ.get("STY"):
        return Check(GROUP, "clipboard", "note", f"{said} GNU screen passes on short ones.")
    return Check(GROUP, "clipboard", "ok", said)


def _tmux(option: str) -> str:
    """The value of a server option; "" where it is not told."""
    if not shutil.which("tmux"):
        return ""
    command = ["tmux", "show-options", "-sv", option]
    try:
        told = subprocess.run(command, capture_output=True, timeout=2, text=True, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()
