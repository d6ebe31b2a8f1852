"""What an opened model consists of, and what an engine asks of each part."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .events import Message, Model, Progress
from .loop import Held
from .options import Spec


class Speller(Protocol):
    """Ids back to text, one at a time; a copy goes on by itself."""

    def push(self, token: int) -> str: ...
    def flush(self) -> str: ...


class Speech(Protocol):
    """Messages to ids by the model's own template, and ids back to text."""

    @property
    def stop_ids(self) -> frozenset[int]: ...
    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], list[str]]: ...
    def plain(self, text: str) -> list[int]:
        """The ids of a text in no template, opened as the tokenizer opens one."""
        ...

    def detokeniser(self) -> Speller: ...
    def spelling(self) -> Mapping[int, tuple[str, str]]:
        """What each id stands for: as the tokenizer spells it, and as text."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """An opened model; `spec` has every "auto" resolved."""

    target: Held
    text: Speech
    model: Model
    spec: Spec
    notes: tuple[str, ...] = ()  # what a person should know about the opening


Opener = Callable[[Spec], Generator[Progress, None, Parts]]
