"""Keys and values of one text, and of the branches that may follow it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .checkpoint import Config
from .events import EngineError
from .flight import Flight
from .llama import Places
from .prefix import shared
from .rope import turns
from .tree import Node, Tree


class KvCache:
    """Allocated for the whole context at once; on a CPU the system commits its pages only when
    they are written. Slots from 0 hold a text in order, of which the lower layers may hold more
    than the upper ones; the slots after it may hold a tree."""

    def __init__(self, config: Config, dtype: torch.dtype, device: str, context: int) -> None:
        self.context = context
        self.tree: Tree | None = None
        self.awaited: Flight | None = None  # picks after the text held and one more token
        self.values = _allocate(config, dtype, device, context)
        self.turns = turns(config.rope, context, device)
        self._tokens: list[int] = []
        self._filled = [0] * config.num_hidden_layers  # how many of the tokens each layer holds
        self._touched = 0  # slots ever written

    def held(self, tokens: Sequence[int], layers: int) -> int:
        """How many leading `tokens` the first `layers` layers hold, be it as a branch."""
        same = shared(self._tokens[: self._filled[layers - 1]], tokens)
        if self.tree and layers <= self.tree.layers and same == len(self.tree.prefix):
            same += len(self.tree.path(tokens[same:]))
        return same

    def crop(self, tokens: Sequence[int]) -> None:
        """Forgets all but `tokens`, which are held, before it is written over."""
        tree, self.tree, self.awaited = self.tree, None, None
        if tree and len(tokens) > len(tree.prefix):
            self._straighten(tree, tokens)
        self._filled = [min(filled, len(tokens)) for filled in self._filled]
        del self._tokens[len(tokens) :]

    def extend(self, tokens: Sequence[int], layers: int) -> None:
        """The first `layers` layers hold all `tokens` now, which begin with those held."""
        self._tokens += tokens[len(self._tokens) :]
        self._filled[:layers] = [len(tokens)] * layers

    def _straighten(self, tree: Tree, tokens: Sequence[int]) -> None:
        """Moves a branch to the slots where a text would have it."""
        start = len(tree.prefix)
        path = torch.tensor(tree.path(tokens[start:]), device=self.values.device)
        for layer in self.values[: tree.layers]:
            layer[:, :, start : len(tokens)] = layer[:, :, path]
        self.extend(tokens, tree.layers)

    def nbytes(self, layers: int) -> int:
        """Bytes of the first `layers` layers; on a CPU only what has been written."""
        slots = self.context if self.values.is_cuda else self._touched
        return self.values[:layers].nbytes // self.context * slots

    def touch(self, end: int) -> None:
        """Slots up to `end` are written."""
        self._touched = max(self._touched, end)

    def row(self, start: int, end: int) -> Places:
        """The places of a text from `start` to `end`."""
        self.touch(end)
        mask = _causal(end - start, end, self.values.device)
        return Places(slice(start, end), end, self.turns[start:end, None], mask)

    def branching(self, prefix: int, nodes: Sequence[Node]) -> Places:
        """The places of `nodes`: each sees the first `prefix` slots and its own branch."""
        device = self.values.device
        end = 1 + max(max(node.path) for node in nodes)
        self.touch(end)
        seen = np.zeros((len(nodes), end), dtype=np.bool_)
        seen[:, :prefix] = True
        for row, node in zip(seen, nodes, strict=True):
            row[list(node.path)] = True
        slots = torch.tensor([node.path[-1] for node in nodes], device=device)
        positions = torch.tensor([prefix + len(node.path) - 1 for node in nodes], device=device)
        mask = torch.from_numpy(seen).to(device)
        return Places(slots, end, self.turns[positions, None], mask)


def _causal(n: int, end: int, device: torch.device) -> torch.Tensor | None:
    """Which of `end` slots each of the last `n` may see; None is all of them."""
    if n == 1:
        return None
    return torch.ones(n, end, dtype=torch.bool, device=device).tril_(end - n)


def _allocate(config: Config, dtype: torch.dtype, device: str, context: int) -> torch.Tensor:
    heads = (config.num_key_value_heads, context, config.head_dim)
    try:
        return torch.empty(config.num_hidden_layers, 2, *heads, dtype=dtype, device=device)
    except RuntimeError as error:  # what torch raises when there is no memory, on any device
        raise EngineError(
            f"There is no memory for a cache of {context} positions.", "Choose a smaller /context."
        ) from error
