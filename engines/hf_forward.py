"""A pass of a transformers model, and what the model can keep from one pass to the next."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from math import inf, isnan
from typing import Any

import torch
from torch import Tensor

from .events import EngineError
from .hf_library import library

CACHE_NAMES = ("cache", "past_key_values", "cache_params")  # what versions and models call it
WHOLE = ("DynamicLayer", "DynamicIndexedLayer", "DummyLayer")  # layers that forget no position
TRIED, SEEN = 11, 6  # tokens of the trial, and of its first pass


class Keeps(IntEnum):
    """How far a model's cache can be trusted."""

    NOTHING = 0  # every pass is over the whole text
    STEPS = 1  # one further token a pass
    GROWTH = 2  # any further tokens
    ROLLBACK = 3  # and tokens can be taken back


class Forward:
    """Calls a model with new tokens and its cache, by the names it has for them."""

    def __init__(self, model: Any, device: str) -> None:
        self.model = model
        self.device = device
        takes = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in CACHE_NAMES if name in takes), "")
        self._chooses_rows = "logits_to_keep" in takes
        self._chooses_cache = "use_cache" in takes
        self._takes_places = "position_ids" in takes
        self._gives_places = False
        self._text = model.config.get_text_config(decoder=True)

    def __call__(self, ids: Sequence[int], start: int, last: int, cache: Any) -> Tensor:
        """Logits [last, vocab] of `ids`, which follow the `start` tokens in `cache` and join it."""
        options: dict[str, Any] = {}
        if self._chooses_rows:
            options["logits_to_keep"] = max(last, 1)  # 0 would be all
        if self._chooses_cache:
            options["use_cache"] = cache is not None
        if cache is not None:
            options[self._cache_name] = cache
        if self._gives_places:
            places = torch.arange(start, start + len(ids), device=self.device)
            options["position_ids"] = places[None]
        rows = self.model(torch.tensor([ids], device=self.device), **options).logits[0]
        chosen: Tensor = rows[len(rows) - last :]
        return chosen

    def new_cache(self) -> Any:
        """An empty cache, that of a windowed layer without the window where that makes all of it
        one that forgets nothing: the masks apply the window. None where the model takes none."""
        if not self._cache_name:
            return None
        kinds = library().cache_utils
        made = kinds.DynamicCache(config=self._text)
        layers = [kinds.DynamicLayer() if _windowed(layer) else layer for layer in made.layers]
        if all(map(_whole, layers)):
            made.layers = layers
        return made

    def keeps(self) -> Keeps:
        """By trial with a few tokens, since what a cache is does not tell what a model makes of
        it. Raises EngineError where a token's logits depend on what follows it."""
        ids = [(2 * place + 1) * self._text.vocab_size // (2 * TRIED) for place in range(TRIED)]
        truth = self(ids, 0, TRIED, None)
        other = self([*ids[:SEEN], *ids[: TRIED - SEEN]], 0, TRIED, None)
        alike = 1 if self._quantised else 10  # passes as long round alike, but for such weights
        if _error(other[:SEEN], truth[:SEEN]) > self._rounding / alike:
            raise EngineError(
                f"{self.model_type} reads a text in both directions and cannot continue one.",
                "Choose a causal language model.",
            )
        allowed = self._rounding
        if self._tried(Keeps.ROLLBACK, ids, truth) <= allowed:
            return Keeps.ROLLBACK
        growth, steps = (self._tried(kind, ids, truth) for kind in (Keeps.GROWTH, Keeps.STEPS))
        if growth <= min(allowed, 3 * steps + allowed / 100):
            return Keeps.GROWTH
        return Keeps.STEPS if steps <= allowed else Keeps.NOTHING

    @property
    def model_type(self) -> str:
        return str(self._text.model_type)

    @property
    def _rounding(self) -> float:
        """The most that rounding explains; in half precision it can turn a mixture of experts."""
        return 0.3 if self.model.dtype.itemsize < 4 or self._quantised else 0.001

    @property
    def _quantised(self) -> bool:
        """By bitsandbytes' int8, or others, where the rounding of a row may depend on the rest."""
        return bool(getattr(self.model, "is_quantized", False))

    def _tried(self, kind: Keeps, ids: Sequence[int], truth: Tensor) -> float:
        """The error of passes of that kind. Some models count places from 0 in each pass unless
        they are told, and others count from 2, so what errs less is kept."""
        error = self._error(kind, ids, truth)
        if error > self._rounding / 10 and self._takes_places:
            self._gives_places ^= True
            other = self._error(kind, ids, truth)
            self._gives_places ^= other >= error
            return min(error, other)
        return error

    def _error(self, kind: Keeps, ids: Sequence[int], truth: Tensor) -> float:
        cache = self.new_cache()
        if cache is None or (kind is Keeps.ROLLBACK and not all(map(_whole, cache.layers))):
            return inf
        try:
            self(ids[:SEEN], 0, 0, cache)
            if kind is Keeps.ROLLBACK:
                self(ids[:SEEN], SEEN, 0, cache)
                cache.crop(-SEEN)
            cuts = [*range(SEEN, TRIED, 1 if kind is Keeps.STEPS else 4), TRIED]
            rows = [self(ids[a:b], a, b - a, cache) for a, b in pairwise(cuts)]
        except torch.OutOfMemoryError:
            raise
        except Exception:  # each model has its own way to refuse a cache
            return inf
        return _error(torch.cat(rows), truth[SEEN:])


def held_bytes(cache: Any) -> int:
    """Of all tensors in a cache, what a cropped one still holds included."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for layer in getattr(cache, "layers", ())
        for tensor in _tensors(vars(layer))
    }
    return sum(storages.values())


def _tensors(values: dict[Any, Any]) -> Iterator[Tensor]:
    for value in values.values():
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors(value)


def _windowed(layer: Any) -> bool:
    return type(layer).__name__ == "DynamicSlidingWindowLayer"


def _whole(layer: Any) -> bool:
    return type(layer).__name__ in WHOLE


def _error(rows: Tensor, truth: Tensor) -> float:
    """Relative to how far the logits of one place lie apart; infinite where one is no number."""
    rows, truth = rows.double(), truth.double()
    spread = (truth - truth.mean(-1, keepdim=True)).norm()
    error = float((rows - truth).norm() / spread)
    return inf if isnan(error) else error
