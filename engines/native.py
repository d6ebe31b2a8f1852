"""Our own torch target for the Llama family, with a cache that follows the token list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count
from operator import ne
from pathlib import Path

import numpy as np
import torch

from .checkpoint import Config, read_config, read_tensors
from .events import EngineError
from .llama import Llama, forward, load, logits
from .pick import Logits
from .rope import turns
from .threads import usable_cpus

DEFAULT_CONTEXT = 8192


class NativeTarget:
    """A `Target`. The cache is allocated for the whole context at once; on a CPU the system
    commits its pages only when they are written."""

    def __init__(self, model: Llama, dtype: torch.dtype, device: str, context: int) -> None:
        self.context = context
        self.vocabulary = model.config.vocab_size
        self._model = model
        self._cache = _allocate(model.config, dtype, device, context)
        self._turns = turns(model.config.rope, context, device)
        self._held: list[int] = []  # the tokens whose keys and values the cache holds
        self._touched = 0  # positions ever written

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        self._check(tokens, last)
        start = min(self._shared(tokens), len(tokens) - last)
        del self._held[start:]  # stays true if the pass below is interrupted
        rows = self._feed(tokens[start:], start, last)
        self._held += tokens[start:]
        return rows

    def cached(self, tokens: Sequence[int]) -> int:
        return max(0, min(self._shared(tokens), len(tokens) - 1))

    @property
    def parameters(self) -> int:
        return self._model.parameters()

    def memory(self) -> dict[str, int]:
        """Bytes by component; of a cache on a CPU only what has been written."""
        positions = self.context if self._cache.is_cuda else self._touched
        cache = self._cache.nbytes // self.context * positions
        return {"weights": self._model.nbytes(), "kv_cache": cache}

    def close(self) -> None:
        cuda = self._cache.is_cuda
        del self._model, self._cache, self._turns
        if cuda:
            torch.cuda.empty_cache()

    def _feed(self, ids: Sequence[int], start: int, last: int) -> Logits:
        self._touched = max(self._touched, start + len(ids))
        if not ids:
            return np.empty((0, self.vocabulary), dtype=np.float32)
        hidden = forward(self._model, ids, start, self._cache, self._turns)
        rows = logits(self._model, hidden[len(ids) - last :])
        wide = rows.to(torch.promote_types(rows.dtype, torch.float32)).cpu()
        if self._cache.is_cuda:
            torch.cuda.synchronize()  # a copy of no rows waits for nothing; callers read clocks
        array: Logits = wide.numpy()
        return array

    def _shared(self, tokens: Sequence[int]) -> int:
        """Length of the prefix that `tokens` has in common with what is held."""
        ends = compress(count(), map(ne, self._held, tokens))
        return next(ends, min(len(self._held), len(tokens)))

    def _check(self, tokens: Sequence[int], last: int) -> None:
        if not 0 <= last <= len(tokens):
            raise ValueError(f"{last} rows of {len(tokens)} tokens")
        if len(tokens) > self.context:
            raise EngineError(
                f"{len(tokens)} tokens do not fit into the context of {self.context}.",
                "Shorten the conversation or raise the context with /context.",
            )


def _allocate(config: Config, dtype: torch.dtype, device: str, context: int) -> torch.Tensor:
    heads = (config.num_key_value_heads, context, config.head_dim)
    try:
        return torch.empty(config.num_hidden_layers, 2, *heads, dtype=dtype, device=device)
    except RuntimeError as error:  # what torch raises when there is no memory, on any device
        raise EngineError(
            f"There is no memory for a cache of {context} positions.", "Choose a smaller /context."
        ) from error


def open_native(
    folder: Path, dtype: str, device: str, context: int | None, threads: int | None
) -> NativeTarget:
    """Loads a checkpoint folder; refuses with EngineError what it would not compute exactly."""
    torch.set_num_threads(threads or usable_cpus())
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("torch finds no CUDA device on this machine.", "Use /device cpu.")
    config = read_config(folder)
    kind: torch.dtype = getattr(torch, dtype)
    try:
        model = load(config, read_tensors(folder), kind, device)
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The weights do not fit into the memory of {device}.",
            "Use a smaller model, /dtype bfloat16 or /device cpu.",
        ) from error
    positions = context or min(config.max_position_embeddings, DEFAULT_CONTEXT)
    return NativeTarget(model, kind, device, positions)
