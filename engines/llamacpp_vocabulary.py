"""A GGUF's tokens as llama.cpp itself reads them."""

from __future__ import annotations

from ctypes import c_int32, create_string_buffer
from functools import cached_property
from typing import Any

from .events import EngineError
from .llamacpp_library import library

_SPECIAL = (1 << 0) | (1 << 3)  # of llama_token_attr: unknown, control


class Vocabulary:
    """Of a loaded model, and valid as long as it is."""

    def __init__(self, model: Any) -> None:
        self._llama = library()
        self._vocab = self._llama.llama_model_get_vocab(model)

    @property
    def size(self) -> int:
        return int(self._llama.llama_vocab_n_tokens(self._vocab))

    @property
    def adds_bos(self) -> bool:
        return bool(self._llama.llama_vocab_get_add_bos(self._vocab))

    @property
    def bos(self) -> int:
        return int(self._llama.llama_vocab_bos(self._vocab))

    @cached_property
    def control(self) -> frozenset[int]:
        attributes = self._llama.llama_vocab_get_attr
        return frozenset(id_ for id_ in range(self.size) if attributes(self._vocab, id_) & _SPECIAL)

    @cached_property
    def ends(self) -> frozenset[int]:
        """What ends an answer, by the file's word or by custom."""
        ends = self._llama.llama_vocab_is_eog
        return frozenset(id_ for id_ in range(self.size) if ends(self._vocab, id_))

    def spelled(self, token: int) -> str:
        """As the vocabulary has it: a byte may be one character of an alphabet of its own."""
        found: bytes = self._llama.llama_vocab_get_text(self._vocab, token)
        return found.decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """The bytes of text that `token` stands for."""
        size = 64
        while True:
            buffer = create_string_buffer(size)
            found = self._llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, True)
            if found >= 0:
                return buffer.raw[:found]
            size = -found

    def encode(self, text: str, special: bool) -> list[int]:
        """The ids of `text`, nothing added; `special`: what spells a control token becomes one."""
        raw = text.encode()
        size = len(raw) + 8
        while True:
            ids = (c_int32 * size)()
            count = self._llama.llama_tokenize(
                self._vocab, raw, len(raw), ids, size, False, special
            )
            if count >= 0:
                return ids[:count]
            if -count <= size:
                raise EngineError("llama.cpp cannot split this text into tokens.", "Send less.")
            size = -count
