"""Messages to ids by llama.cpp's own tokenizer, for files whose tokenizer ours cannot be made
from, and how far the two agree where it can."""

# ruff: noqa: RUF001 (the probes are in several scripts)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .control import any_of, marked
from .detokenise import Detokeniser
from .events import Message
from .gguf_file import GGUFFile
from .gguf_tokenizer import CONTROL, UNKNOWN
from .llamacpp_vocabulary import Vocabulary
from .text import Prompts, Text, declared_stops

OTHER_TOKENIZER = (
    "The file's tokenizer is of a kind that only llama.cpp knows, so its ids are used; drafts by a "
    "model with a torch engine may be refused."
)

PROBES = (
    "Hello, world!",
    " leading and  double  spaces ",
    "naïve café, Zażółć gęślą jaźń",
    "12345 3.14159 1,000,000 0x1F",
    "one — two – three … “four” ‘five’",
    "def f(x):\n        return x\n\n\n\t\tx",
    "    if a == b:\n        c += 1  # done",
    "你好，世界。こんにちは 안녕하세요",
    "Привет, мир! Γειά σου Κόσμε",
    "مرحبا بالعالم שלום עולם",
    "नमस्ते दुनिया สวัสดีชาวโลก",
    "family 👨‍👩‍👧, flag 🏳️‍🌈, 👍🏽",
    "e\u0301 and \u00e9, \ufb01 and ½",
    "I'm you're they'll WE'VE don't",
    "snake_case camelCase kebab-case ALLCAPS",
    "https://example.org/a?b=c&d=%20#e",
    "$x^2 + \\frac{1}{2} ≤ ∞$",
    "a\r\nb\rc\u00a0d\u2028e",
    "!!!??? ... ;;; ((())) [[]] {}",
    "<tag attr='1'>text</tag>",
    "\u200bzero\u200dwidth ᚠ 𝔘𝔫𝔦",
)


class LlamaText:
    """What `Text` does, and alike, with llama.cpp's tokenizer."""

    def __init__(self, folder: Path, vocabulary: Vocabulary, file: GGUFFile) -> None:
        self._vocabulary = vocabulary
        self._control = vocabulary.control | _declared_control(file, vocabulary.size)
        self._prompts = Prompts(folder, _Encoder(vocabulary, self._control))
        self.template_sha256 = self._prompts.template_sha256
        self.stop_ids = declared_stops(folder) | vocabulary.ends

    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], list[str]]:
        return self._prompts.prompt(messages)

    def plain(self, text: str) -> list[int]:
        return self._prompts.plain(text)

    def spelling(self) -> dict[int, tuple[str, str]]:
        read = self._vocabulary
        return {
            id_: (read.spelled(id_), read.piece(id_).decode("utf-8", "replace"))
            for id_ in range(read.size)
        }

    def detokeniser(self) -> Detokeniser:
        read = self._vocabulary
        first = read.encode("a", False)
        strip = bool(first) and read.piece(first[0]).startswith(b" ")
        return Detokeniser(read.piece, self.stop_ids | self._control, strip)


class _Encoder:
    def __init__(self, vocabulary: Vocabulary, control: Iterable[int]) -> None:
        self._vocabulary = vocabulary
        self._control = any_of(map(vocabulary.spelled, control))

    def marked(self, content: str, marker: str) -> str:
        return marked(content, self._control, marker)

    def encode(self, text: str, marker: str, bos: bool) -> list[int]:
        """A control token with a marker inside is read as two parts, neither of them one."""
        read = self._vocabulary
        first = [read.bos] if bos and read.adds_bos else []
        return first + [id_ for part in text.split(marker) for id_ in read.encode(part, True)]


def _declared_control(file: GGUFFile, size: int) -> frozenset[int]:
    """llama.cpp makes text of some control tokens, by their spelling; a person could forge turns
    with them."""
    kinds = file.metadata.get("tokenizer.ggml.token_type", ())[:size]
    return frozenset(np.flatnonzero(np.isin(kinds, (UNKNOWN, CONTROL))).tolist())


def disagreement(text: Text, vocabulary: Vocabulary) -> str:
    """The first thing that ids mean, or that becomes of a probe, in which llama.cpp's tokenizer
    differs from `text`, whose ids are used; "" where there is none."""
    ours = text.tokenizer
    for id_ in range(vocabulary.size):
        here, there = ours.id_to_token(id_), vocabulary.spelled(id_)
        if here != there:
            return f"Token {id_} is {here!r} to the tokenizer in use and {there!r} to llama.cpp's."
    for probe in PROBES:
        used, other = (
            ours.encode(probe, add_special_tokens=False).ids,
            vocabulary.encode(probe, False),
        )
        if used != other:
            return (
                f"The tokenizer in use reads {probe!r} as {used}, llama.cpp's as {other}; the text "
                "is the same to every engine here, but not to llama.cpp's own programs."
            )
    return ""
