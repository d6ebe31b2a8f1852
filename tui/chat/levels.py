"""From where on a figure is a worry: told by a sign as well as by a colour."""

from __future__ import annotations

# A share of the whole from which on it is a warning, and one from which on it is an error.
LEVELS = {
    "context": (0.80, 0.95),
    "RAM": (0.90, 0.97),
    "VRAM": (0.90, 0.97),
}
WORRIES = {"warn": "!", "error": "!!"}  # styles, and the signs of them


def level(figure: str, share: float | None) -> str:
    """ "warn", "error", or "" where all is well or nothing is known."""
    warn, error = LEVELS[figure]
    if share is None or share < warn:
        return ""
    return "warn" if share < error else "error"


def marked(text: str, style: str) -> str:
    """With the sign of a style that is a worry."""
    return f"{WORRIES[style]} {text}" if style in WORRIES else text
