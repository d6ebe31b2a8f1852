"""Puts text where it can be pasted: this machine's clipboard, the terminal's, or a file."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..sessions import figures
from ..sessions.clean import clean, one_line
from ..sessions.places import session_folder

LARGEST = 74_994  # bytes that xterm takes in one OSC 52
SCREEN_LARGEST = 252  # bytes that every GNU screen passes through at once
SECONDS = 3.0  # for a program that holds a clipboard
FILE = "copied.txt"
# In a process of its own: what holds the clipboard may hang, abort, or write over the screen. Qt's
# ends with its process.
_LOCAL = """
import sys, pyperclip
text = sys.stdin.buffer.read().decode()
copy, paste = pyperclip.determine_clipboard()
if copy.__name__ == "copy_qt":
    sys.exit(1)
copy(text)
sys.exit(paste().replace("\\r\\n", "\\n") != text)
"""

Write = Callable[[str], object]


def copied(text: str, write: Write | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """Tells where `text` went. `write` reaches the terminal, if there is one: it takes OSC 52 and
    never answers, so a file has the text as well."""
    text = clean(text)
    count = figures.counted(len(text), "character")
    if _is_local(environ) and _took([sys.executable, "-P", "-c", _LOCAL], text):
        return f"Copied: {count}."
    sent, kept = _sent(text, write, environ), _kept(text)
    if not sent:
        return f"{count} could not go to a clipboard; {kept}"
    return f"{count} went to {sent}, which does not answer; {kept}"


def osc52(text: str) -> str:
    """The sequence that has a terminal take `text` into its clipboard."""
    return f"\x1b]52;c;{b64encode(text.encode()).decode()}\a"


def through_screen(sequence: str) -> str:
    """`sequence` as GNU screen passes it on to the terminal around it."""
    return "".join(f"\x1bP{part}\x1b\\" for part in _parts(sequence))


def _sent(text: str, write: Write | None, environ: Mapping[str, str]) -> str:
    """To what, or "" where nothing takes it."""
    if environ.get("TMUX"):
        if _took(["tmux", "load-buffer", "-w", "-"], text):
            return "tmux's buffer and the terminal's clipboard"
        return "tmux's buffer" if _took(["tmux", "load-buffer", "-"], text) else ""
    fits = len(text.encode()) <= LARGEST
    if write is None or not fits or environ.get("TERM") in (None, "", "dumb", "linux"):
        return ""
    sequence = osc52(text)
    write(through_screen(sequence) if environ.get("STY") else sequence)
    return "the terminal's clipboard"


def _is_local(environ: Mapping[str, str]) -> bool:
    """Whether the clipboard of this machine is that of whoever sits before it."""
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return False
    shown = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return bool(shown) or sys.platform in ("darwin", "win32")


def _took(command: list[str], text: str) -> bool:
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _kept(text: str) -> str:
    """Writes a file for its owner alone, and tells which."""
    path = session_folder().with_name(FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, text)
    except OSError as error:
        return f"{one_line(str(path))} cannot be written ({error.strerror})."
    return f"the text is in {one_line(str(path))}"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # a link that stands there is not followed
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())


def _parts(sequence: str) -> Iterator[str]:
    for start in range(0, len(sequence), SCREEN_LARGEST):
        yield sequence[start : start + SCREEN_LARGEST]
