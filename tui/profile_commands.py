"""The slash commands of profile."""

from __future__ import annotations

from .grammar import Command

PROFILES: tuple[Command, ...] = ()
