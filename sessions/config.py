"""What a person set once and for all."""

from __future__ import annotations

from dataclasses import dataclass

HUDS = ("auto", "side", "bar", "hidden")
ORIGINS = ("colour", "mark", "off")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the screen looks like; it changes no figure."""

    theme: str = "textual-dark"
    hud: str = "auto"  # of HUDS; auto is by the width of the window
    origin: str = "colour"  # of ORIGINS: how accepted drafts are told from the target's own tokens
