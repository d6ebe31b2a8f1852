"""Ids back to text, one at a time: a character appears with its last byte, not before or after."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection
from typing import Any

from tokenizers import Tokenizer

from .events import EngineError

Bytes = Callable[[str], bytes]

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class Detokeniser:
    """What `push` and `flush` return joins to one decode of all ids, special tokens left out.
    All that it holds is immutable, so that a copy goes on by itself.

    Where the bytes are no UTF-8, it may differ from the library's in the number of marks.
    """

    def __init__(
        self, spelled: Callable[[int], bytes], silent: Collection[int], strip: bool
    ) -> None:
        self._spelled = spelled
        self._silent = silent  # ids that stand for no text
        self._strip = strip  # SentencePiece puts a space before the first word
        self._held = b""  # of a character that is not whole

    def push(self, token: int) -> str:
        """The text that `token` completes."""
        text = "" if token in self._silent else self._decode(self._spelled(token))
        if text and self._strip:
            self._strip = False
            return text.removeprefix(" ")
        return text

    def flush(self) -> str:
        """The mark for a character whose last bytes never came, or nothing."""
        return self._decode(b"", final=True)

    def _decode(self, more: bytes, final: bool = False) -> str:
        held = self._held + more
        text, used = codecs.utf_8_decode(held, "replace", final)
        self._held = held[used:]
        return text


def detokeniser(tokenizer: Tokenizer, silent: Collection[int]) -> Detokeniser:
    in_bytes, strip = _scheme(tokenizer)

    def spelled(token: int) -> bytes:
        return in_bytes(tokenizer.id_to_token(token) or "")

    return Detokeniser(spelled, silent, strip)


def _scheme(tokenizer: Tokenizer) -> tuple[Bytes, bool]:
    """How a token spells its bytes, and whether the first space is dropped."""
    steps = _steps(json.loads(tokenizer.decoder.__getstate__())) if tokenizer.decoder else []
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return _byte_level, False
    if kinds & {"ByteFallback", "Metaspace", "Replace"}:
        spaced = any(step.get("prepend_scheme", "never") != "never" for step in steps)
        return _sentence_piece, spaced or "Strip" in kinds
    unknown = ", ".join(sorted(kinds)) or "no decoder"
    raise EngineError(
        f"The model's tokenizer is of an unknown kind ({unknown}).",
        "Choose another model.",
    )


def _steps(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] != "Sequence":
        return [decoder]
    return [step for each in decoder["decoders"] for step in _steps(each)]


def _sentence_piece(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


def _byte_level(token: str) -> bytes:
    """Added tokens are spelled as they are, all others by one printable character a byte."""
    try:
        return bytes(_BYTES[character] for character in token)
    except KeyError:
        return token.encode()


def _printable() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the rest is moved beyond it."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in itself]
    return {chr(byte): byte for byte in itself} | {chr(256 + n): b for n, b in enumerate(moved)}


_BYTES = _printable()
