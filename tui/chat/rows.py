"""What the HUD is made of: rows of the side panel, words of the bar."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """`label` stands left and `value` right; a row without a label is one text."""

    label: str
    value: str
    style: str = ""  # "title", "main", "dim", "warn", "error"
    about: str = ""  # the figure, where the label is not its name in sessions/definitions.py
    spare: bool = False  # left out where there is no room for all

    @property
    def figure(self) -> str:
        return self.about or self.label


class Word(NamedTuple):
    text: str
    figure: str = ""  # by its name in sessions/definitions.py; "" is none
    style: str = ""
