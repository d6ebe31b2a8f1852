"""Our own torch target for the Llama family, with a cache that follows the token list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import read_config, read_tensors
from .choosing import Rows, choose_on_host
from .events import EngineError
from .flight import Flight, valid
from .gpu import Gpu, open_gpu
from .kv_cache import KvCache
from .llama import Llama, Places, forward, load, logits
from .on_torch import DeviceRows, on_host, prepare
from .options import DEFAULT_CONTEXT, Sampling
from .pick import Logits
from .prefix import require_room
from .tree import Tree


class NativeTarget:
    """A `Target` that can also follow several continuations at once. Its first layers alone are a
    target too; both look into one cache, where each crops what it writes over."""

    no_rollback = ""

    def __init__(
        self,
        model: Llama,
        cache: KvCache,
        gpu: Gpu | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.context = cache.context
        self.vocabulary = model.config.vocab_size
        self.layers = len(model.layers)
        self._model = model
        self._cache = cache
        self._gpu = gpu
        self._notes = notes
        self._pass = gpu.of(model, cache) if gpu else None

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        return on_host(self._rows(tokens, last))

    @torch.inference_mode()
    def choose(
        self, tokens: Sequence[int], last: int, sampling: Sampling, ahead: bool = False
    ) -> tuple[Iterable[int], Rows]:
        """Brings the ids alone to the host where our kernels run; see `choosing.choose`."""
        if self._gpu is None:
            return choose_on_host(self, tokens, last, sampling)
        flight, rows = self._awaited(tokens, last, sampling), None
        if flight is None:
            rows = self._rows(tokens, last)
            flight = self._gpu.send(rows, tokens, sampling)
        following = self._follow(flight, len(tokens), sampling) if ahead and last == 1 else None
        ids = flight.land()
        if following:
            following.after = (self.layers, len(tokens), ids[0])
            self._cache.awaited = following
        return valid(ids), () if rows is None or following else DeviceRows(rows)

    def _awaited(self, tokens: Sequence[int], last: int, sampling: Sampling) -> Flight | None:
        """The picks asked for, if the pass that they need has been under way already."""
        flight, self._cache.awaited = self._cache.awaited, None
        place = len(tokens) - 1
        if (
            flight is None
            or last != 1
            or flight.after != (self.layers, place, tokens[-1])
            or flight.sampling != sampling
            or self._cache.held(tokens, self.layers) != place
        ):
            return None
        self._cache.extend(tokens, self.layers)
        self._cache.touch(len(tokens))
        return flight

    def _follow(self, flight: Flight, place: int, sampling: Sampling) -> Flight | None:
        """The next pass, begun before the host has seen the token that it reads."""
        if not (self._gpu and self._pass and self._pass.fits(place, 1)):
            return None
        if sampling.repetition_penalty != 1:  # which needs the text on the device
            return None
        return self._gpu.follow(self._pass, flight.ids, place, sampling)

    def _rows(self, tokens: Sequence[int], last: int) -> Tensor:
        require_room(tokens, last, self.context)
        start = min(self._cache.held(tokens, self.layers), len(tokens) - last)
        self._cache.crop(tokens[:start])  # stays true if the pass below is interrupted
        fresh = tokens[start:]
        if self._pass and self._pass.fits(start, len(fresh)):
            rows = self._pass(fresh, start)[len(fresh) - last :]
            self._cache.touch(len(tokens))
        else:
            places = self._cache.row(start, len(tokens))
            rows = self._feed(fresh, places, slice(len(fresh) - last, None))
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
        return on_host(rows)

    def cached(self, tokens: Sequence[int]) -> int:
        return max(0, min(self._cache.held(tokens, self.layers), len(tokens) - 1))

    def early_exit(self, layers: int) -> NativeTarget:
        """The target that the first `layers` layers are, with the same last norm and head."""
        if not 1 <= layers <= self.layers:
            raise ValueError(f"{layers} of {self.layers} layers")
        lower = replace(self._model, layers=self._model.layers[:layers])
        return NativeTarget(lower, self._cache, self._gpu)

    @property
    def parameters(self) -> int:
        return self._model.parameters()

    @property
    def weights_read(self) -> int:
        """Bytes of weights that a token reads."""
        return self._model.bytes_read()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about weights and kernels."""
        return (*self._model.notes(), *self._notes)

    @property
    def triton(self) -> str:
        """Whether our own kernels run, in the words of options.SWITCHES."""
        return "on" if self._gpu else "off"

    def memory(self) -> dict[str, int]:
        """Bytes by component; of a cache on a CPU only what has been written."""
        return {"weights": self._model.nbytes(), "kv_cache": self._cache.nbytes(self.layers)}

    def close(self) -> None:
        cuda = self._cache.values.is_cuda
        del self._model, self._cache, self._gpu, self._pass
        if cuda:
            torch.cuda.empty_cache()

    def _tree(self, prefix: Sequence[int]) -> Tree:
        """The one that follows `prefix`, taken out of the cache: a pass that fails leaves none."""
        tree, self._cache.tree = self._cache.tree, None
        if tree and (tree.prefix, tree.layers) == (list(prefix), self.layers):
            return tree
        self.logits(prefix, 0)
        return Tree(prefix, self.layers, self.context)

    def _feed(self, ids: Sequence[int], places: Places, rows: slice | list[int]) -> Tensor:
        """Logits of the given `rows` of `ids`."""
        if not ids:
            return self._cache.values.new_empty(0, self.vocabulary)
        hidden = forward(self._model, ids, self._cache.values[: self.layers], places)
        return logits(self._model, hidden[rows])


def open_native(
    folder: Path,
    dtype: str,
    device: str,
    context: int | None,
    threads: int | None,
    quantize: str = "none",
    triton: str = "auto",
) -> NativeTarget:
    """Loads a checkpoint folder; refuses with EngineError what it would not compute exactly, and
    our kernels where `triton` is "on" and they cannot run."""
    prepare(device, threads)
    config = read_config(folder)
    kind: torch.dtype = getattr(torch, dtype)
    try:
        model = load(config, read_tensors(folder), kind, device, quantize)
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The weights do not fit into the memory of {device}.",
            "Use a smaller model, /dtype bfloat16, /quantize int8 or /device cpu.",
        ) from error
    positions = context or min(config.max_position_embeddings, DEFAULT_CONTEXT)
    cache = KvCache(config, kind, device, positions)
    gpu, notes = open_gpu(model, cache, triton)
    return NativeTarget(model, cache, gpu, notes)
