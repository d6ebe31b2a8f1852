"""A model that guesses for another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .choosing import Rows, choose, picks
from .loop import Held
from .options import Sampling

CHUNK = 64  # tokens of a text it has not read that it reads in one step


class DraftModel:
    """Any target as a drafter (Leviathan et al. 2023), coupled to the one it serves: it picks with
    the same noise at the same places. Its cache follows the text as every target's does.

    The first token never waits for it, and while much of the text is new to it, it reads a part a
    step and proposes nothing. Ids that one of the two lacks are cut off: those from `vocabulary`
    on are never proposed, and a text that holds one the draft model lacks is none it can read.
    """

    def __init__(self, model: Held, vocabulary: int) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._sampling = Sampling()
        self._start = 0
        self._strange = False  # the text holds an id that the model lacks

    def begin(self, prompt: Sequence[int], sampling: Sampling) -> None:
        self._sampling = sampling
        self._start = len(prompt)
        self._strange = max(prompt, default=0) >= self._model.vocabulary

    def propose(self, tokens: Sequence[int], k: int) -> list[int]:
        if len(tokens) <= self._start or self._strange or self._reads_on(tokens):
            return []
        text = list(tokens)
        for left in reversed(range(min(k, self._model.context - len(tokens)))):
            text += self._next(text, ahead=left > 0)
        return text[len(tokens) :]

    def observe(self, tokens: Sequence[int], fresh: int, rows: Rows) -> None:  # noqa: ARG002
        self._strange = self._strange or max(tokens[-fresh:]) >= self._model.vocabulary

    def memory(self) -> int:
        return 0  # the model's own memory is told by whoever holds it

    def _next(self, text: Sequence[int], ahead: bool) -> Iterable[int]:
        if self._model.vocabulary <= self._vocabulary:
            return choose(self._model, text, 1, self._sampling, ahead)[0]
        row = self._model.logits(text, 1)[:, : self._vocabulary]
        return picks(row, text, self._sampling)

    def _reads_on(self, tokens: Sequence[int]) -> bool:
        end = self._model.cached(tokens) + CHUNK
        if end >= min(len(tokens), self._model.context):
            return False
        self._model.logits(tokens[:end], 0)
        return True
