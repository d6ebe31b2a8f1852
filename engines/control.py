"""Control tokens that someone spelled: they reach the model as characters, never as control."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tokenizers import Tokenizer, normalizers

from .events import EngineError


class Control:
    """A tokenizer's control tokens, and the markers that keep spelled ones apart from true ones.

    A marker inside a spelled token keeps the tokenizer from seeing it. The first step of
    normalisation takes the marker away; by then control tokens are no longer sought.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        added = tokenizer.get_added_tokens_decoder()
        self.ids = frozenset(id_ for id_, token in added.items() if token.special)
        self._tokenizer = tokenizer
        self._spelling = any_of(added[id_].content for id_ in self.ids)

    def marked(self, content: str, marker: str) -> str:
        return marked(content, self._spelling, marker)

    def encode(self, text: str, marker: str, bos: bool) -> list[int]:
        """The ids of `text`, its marked tokens as plain characters; `bos` as the tokenizer does."""
        if marker not in text:
            return self._tokenizer.encode(text, add_special_tokens=bos).ids
        ids = self._without(marker, "", text, bos)
        written = len(self._spelling.findall(text)) if self._spelling else 0
        written += self._tokenizer.num_special_tokens_to_add(False) if bos else 0
        if sum(each in self.ids for each in ids) > written:
            # Some vocabularies merge plain characters into a control token, and some tokenizers
            # seek control tokens after normalisation: a space keeps the characters apart.
            return self._without(marker, " ", text, bos)
        return ids

    def _without(self, marker: str, instead: str, text: str, bos: bool) -> list[int]:
        usual = self._tokenizer.normalizer
        steps = [normalizers.Replace(marker, instead), *([usual] if usual else [])]
        self._tokenizer.normalizer = normalizers.Sequence(steps)
        try:
            return self._tokenizer.encode(text, add_special_tokens=bos).ids
        finally:
            self._tokenizer.normalizer = usual


def marked(content: str, control: re.Pattern[str] | None, marker: str) -> str:
    """`content` with the marker inside every control token it spells, overlaps included."""
    while control and control.search(content):
        content = control.sub(lambda found: found[0][0] + marker + found[0][1:], content)
    return content


def free_marker(taken: Collection[str]) -> str:
    """A private-use character that is not `taken`."""
    for code in (*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE)):
        if chr(code) not in taken:
            return chr(code)
    raise EngineError("The messages hold every private-use character.", "Use /undo or /clear.")


def any_of(spellings: Iterable[str]) -> re.Pattern[str] | None:
    """Longest first; a token of one character could not be broken and is left out."""
    usable = sorted((each for each in spellings if len(each) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, usable))) if usable else None
