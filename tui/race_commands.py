"""The slash commands of race."""

from __future__ import annotations

from .grammar import Command

RACE: tuple[Command, ...] = ()
