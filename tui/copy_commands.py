"""The slash commands of copy."""

from __future__ import annotations

from .grammar import Command

COPY: tuple[Command, ...] = ()
