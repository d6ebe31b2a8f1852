"""The slash commands of doctor."""

from __future__ import annotations

from .grammar import Command

DOCTOR: tuple[Command, ...] = ()
