"""Our own torch target for the Llama family, with a cache that follows the token list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .checkpoint import read_config, read_tensors
from .events import EngineError
from .kv_cache import KvCache
from .llama import Llama, Places, forward, load, logits
from .on_torch import DEFAULT_CONTEXT, no_rows, on_host, prepare
from .pick import Logits
from .prefix import require_room
from .tree import Tree


class NativeTarget:
    """A `Target` that can also follow several continuations at once. Its first layers alone are a
    target too; both look into one cache, where each crops what it writes over."""

    no_rollback = ""

    def __init__(self, model: Llama, cache: KvCache) -> None:
        self.context = cache.context
        self.vocabulary = model.config.vocab_size
        self.layers = len(model.layers)
        self._model = model
        self._cache = cache

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        require_room(tokens, last, self.context)
        start = min(self._cache.held(tokens, self.layers), len(tokens) - last)
        self._cache.crop(tokens[:start])  # stays true if the pass below is interrupted
        places = self._cache.row(start, len(tokens))
        rows = self._feed(tokens[start:], places, slice(len(tokens) - start - last, None))
        self._cache.extend(tokens, self.layers)
        return rows

    @torch.inference_mode()
    def branches(self, prefix: Sequence[int], tails: Sequence[Sequence[int]]) -> Logits:
        """Logits [tails, vocab] after `prefix` and each of `tails`, one at least and none empty, in
        one pass over what those of the last call lack. The next `logits` keeps the one that it
        goes on with, if any."""
        tree = self._tree(prefix)
        nodes, ends = tree.grow(tails)
        places = self._cache.branching(len(prefix), nodes)
        rows = self._feed([node.token for node in nodes], places, ends)
        self._cache.tree = tree
        return rows

    def cached(self, tokens: Sequence[int]) -> int:
        return max(0, min(self._cache.held(tokens, self.layers), len(tokens) - 1))

    def early_exit(self, layers: int) -> NativeTarget:
        """The target that the first `layers` layers are, with the same last norm and head."""
        if not 1 <= layers <= self.layers:
            raise ValueError(f"{layers} of {self.layers} layers")
        return NativeTarget(replace(self._model, layers=self._model.layers[:layers]), self._cache)

    @property
    def parameters(self) -> int:
        return self._model.parameters()

    def memory(self) -> dict[str, int]:
        """Bytes by component; of a cache on a CPU only what has been written."""
        return {"weights": self._model.nbytes(), "kv_cache": self._cache.nbytes(self.layers)}

    def close(self) -> None:
        cuda = self._cache.values.is_cuda
        del self._model, self._cache
        if cuda:
            torch.cuda.empty_cache()

    def _tree(self, prefix: Sequence[int]) -> Tree:
        """The one that follows `prefix`, taken out of the cache: a pass that fails leaves none."""
        tree, self._cache.tree = self._cache.tree, None
        if tree and (tree.prefix, tree.layers) == (list(prefix), self.layers):
            return tree
        self.logits(prefix, 0)
        return Tree(prefix, self.layers, self.context)

    def _feed(self, ids: Sequence[int], places: Places, rows: slice | list[int]) -> Logits:
        """Logits of the given `rows` of `ids`."""
        if not ids:
            return no_rows(self.vocabulary)
        hidden = forward(self._model, ids, self._cache.values[: self.layers], places)
        return on_host(logits(self._model, hidden[rows]))


def open_native(
    folder: Path, dtype: str, device: str, context: int | None, threads: int | None
) -> NativeTarget:
    """Loads a checkpoint folder; refuses with EngineError what it would not compute exactly."""
    prepare(device, threads)
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
    return NativeTarget(model, KvCache(config, kind, device, positions))
