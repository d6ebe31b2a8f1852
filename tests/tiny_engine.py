"""A LocalEngine over TinyTarget; run as a module it is a worker process."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from tokenhud.engines.events import EngineError, Message, Model, Progress
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.options import Spec
from tokenhud.engines.parts import Parts, Speller
from tokenhud.engines.worker import serve

from .tiny import TinyTarget

MODEL = Model("tiny", "", "0" * 64, "tiny", 1, "none", 11, 64, "1" * 64, (10,))


class Letters:
    """One letter a token; user text is its length in tokens of "b"."""

    def __init__(self, letters: str = "abcdefghijk") -> None:
        self.letters = letters
        self.stop_ids = frozenset({10})

    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], list[str]]:
        said = messages[-1].content
        if said == "bug":
            raise ZeroDivisionError("a bug\nits last line")
        if said == "fault":
            raise EngineError("The fault.", "The remedy.")
        if said == "print":
            os.write(1, b"noise from a C library\n")
        if said == "die":
            os.kill(os.getpid(), 9)
        return [1] * sum(len(message.content) for message in messages), []

    def plain(self, text: str) -> list[int]:
        return [self.letters.index(letter) for letter in text if letter in self.letters]

    def spelling(self) -> dict[int, tuple[str, str]]:
        return {token: (letter, letter) for token, letter in enumerate(self.letters)}

    def detokeniser(self) -> Speller:
        return Spelling()


class Spelling:
    def push(self, token: int) -> str:
        return "abcdefghijk"[token]

    def flush(self) -> str:
        return "."


class HeldTarget(TinyTarget):
    context = 64
    no_rollback = ""
    slow = 0.0

    def __init__(self, vocab: int = 11) -> None:
        super().__init__(vocab)
        self.held: list[int] = []
        self.closed = False

    def cached(self, tokens: Sequence[int]) -> int:
        same = [a == b for a, b in zip(self.held, tokens, strict=False)]
        return min((*same, False).index(False), len(tokens) - 1)

    def logits(self, tokens, last):
        time.sleep(self.slow)
        self.held = list(tokens)
        return super().logits(tokens, last)

    def memory(self) -> dict[str, int]:
        return {"weights": 8}

    def close(self) -> None:
        self.closed = True


def open_tiny(spec: Spec) -> Generator[Progress, None, Parts]:
    yield Progress(1, "Reading", 0, 2)
    if spec.model == "missing":
        raise EngineError("There is no such model.", "Name another.")
    yield Progress(2, "Reading", 2, 2)
    target = HeldTarget(9 if spec.model == "narrow" else 11)
    target.slow = 0.02 if spec.model == "slow" else 0.0
    target.no_rollback = "It cannot take anything back." if spec.model == "onward" else ""
    text = Letters("abdcefghijk") if spec.model == "foreign" else Letters()
    yield Progress(3, "Opening", 0, 0)
    return Parts(target, text, MODEL, replace(spec, device="cpu", threads=1, context=64))


if __name__ == "__main__":
    serve(LocalEngine(open_tiny))
