"""llama.cpp as a target: quantised weights as they are in the GGUF, a cache that follows the
tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_int8, c_int32
from typing import Any

import numpy as np

from .events import EngineError
from .llamacpp_library import forget, give_back, library, reason
from .llamacpp_vocabulary import Vocabulary
from .pick import Logits
from .prefix import require_room, shared

BATCH = 512  # tokens a pass: what llama.cpp itself computes at once
ROWS = 80  # logits a pass, for which it reserves ROWS x vocabulary floats; a draft needs 65

_SEQUENCE = 0  # the only one


class LlamaCppTarget:
    """A `Target`. What it holds is dropped before a pass and noted after it, so that a pass that
    fails leaves nothing behind that is not known."""

    def __init__(self, model: Any, state: Any, context: int, kv_bytes: int) -> None:
        """`model` and `state` are llama.cpp's; it calls the latter a context."""
        self._llama = library()
        self._model = model
        self._state = state
        self._memory = self._llama.llama_get_memory(state)
        self._kv_bytes = kv_bytes
        self._held: list[int] = []
        self._ids = np.zeros(BATCH, np.int32)
        self._wanted = np.zeros(BATCH, np.int8)
        self._batch = self._llama.llama_batch(
            token=self._ids.ctypes.data_as(POINTER(c_int32)),
            logits=self._wanted.ctypes.data_as(POINTER(c_int8)),
        )
        self.tokens = Vocabulary(model)
        self.context = context
        self.vocabulary = self.tokens.size
        self.no_rollback = ""
        if self._llama.llama_model_is_recurrent(model) or self._llama.llama_model_is_hybrid(model):
            self.no_rollback = (
                "This model keeps a running state that llama.cpp cannot take back, so drafts "
                "cannot be checked with it."
            )

    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        require_room(tokens, last, self.context)
        start = self._crop(self._kept(tokens, len(tokens) - last))
        rows = np.empty((last, self.vocabulary), np.float32)
        new, done = tokens[start:], 0
        for begin, end, wanted in _passes(len(new), last):
            self._decode(new[begin:end], rows[done : done + wanted])
            done += wanted
        self._held = list(tokens)
        return rows

    def cached(self, tokens: Sequence[int]) -> int:
        return self._kept(tokens, max(0, len(tokens) - 1))

    @property
    def parameters(self) -> int:
        return int(self._llama.llama_model_n_params(self._model))

    def memory(self) -> dict[str, int]:
        """Bytes by component: the weights as in the file, and the keys and values of the whole
        context, which llama.cpp reserves when it opens."""
        weights = int(self._llama.llama_model_size(self._model))
        return {"weights": weights, "kv_cache": self._kv_bytes}

    def close(self) -> None:
        self._llama.llama_free(self._state)
        self._llama.llama_model_free(self._model)
        del self._state, self._model, self._memory
        give_back()

    def _kept(self, tokens: Sequence[int], most: int) -> int:
        """How many leading tokens need no new evaluation, if at most that many may be kept."""
        same = shared(self._held, tokens)
        if self.no_rollback and not len(self._held) == same <= most:
            return 0
        return min(same, most)

    def _crop(self, start: int) -> int:
        """Drops all from `start` on, what a failed pass may have left included; how many it could
        keep."""
        self._held = self._held[:start]
        if self._llama.llama_memory_seq_rm(self._memory, _SEQUENCE, start, -1):
            return start
        self._llama.llama_memory_clear(self._memory, True)
        self._held = []
        return 0

    def _decode(self, ids: Sequence[int], rows: Logits) -> None:
        """One pass after what is held, `rows` filled with the last logits of it. llama.cpp numbers
        the places itself."""
        end = len(ids)
        first = end - len(rows)
        self._ids[:end] = ids
        self._wanted[:first] = 0
        self._wanted[first:end] = 1
        self._batch.n_tokens = end
        forget()
        if self._llama.llama_decode(self._state, self._batch):
            raise EngineError(
                f"llama.cpp cannot evaluate {end} tokens: {reason()}.",
                "Use a smaller /context, or another model.",
            )
        for row, place in zip(rows, range(first, end), strict=True):
            found = self._llama.llama_get_logits_ith(self._state, place)
            row[:] = np.ctypeslib.as_array(found, (self.vocabulary,))


def _passes(count: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Begin, end and rows of each pass over `count` tokens, the `last` of which give rows."""
    begin, plain = 0, count - last
    while begin < count:
        end = min(begin + BATCH, max(begin, plain) + ROWS, count)
        yield begin, end, max(0, end - max(begin, plain))
        begin = end
