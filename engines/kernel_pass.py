"""A pass of a few tokens through our own kernels, replayed as a CUDA graph.

Decoding on a GPU is many short kernels, and starting them one by one costs more than they do. So
each block size is captured once and replayed: what changes from pass to pass (ids, position) lies
in device memory, and all the rest is fixed at capture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels.attention import workspace_size
from ..kernels.launch import ROWS, Sums, Workspace
from ..kernels.norm import swiglu
from .checkpoint import Config
from .kv_cache import KvCache
from .llama import Layer, Llama
from .operations import Operations

BLOCKS = (1, 2, 4, 8, ROWS)  # block sizes that are captured; others run in the next larger one
REACH = 512  # positions that the first graph can attend to; the next ones have twice as many


@dataclass(frozen=True, slots=True)
class Scratch:
    """Device memory that all passes over one cache share."""

    inputs: Tensor  # int32 [1 + ROWS]: the first token's position, then the ids
    staged: Tensor  # the same on the host, pinned
    logits: Tensor  # float32 [ROWS, vocab]
    sums: Tensor  # float32, of attention's splits
    workspace: Workspace

    @classmethod
    def beside(cls, cache: KvCache, config: Config) -> Scratch:
        device, heads = cache.values.device, config.num_attention_heads
        splits = workspace_size(ROWS, heads, config.head_dim, cache.context)
        return cls(
            torch.zeros(1 + ROWS, dtype=torch.int32, device=device),
            torch.zeros(1 + ROWS, dtype=torch.int32, pin_memory=device.type == "cuda"),
            torch.zeros(ROWS, config.vocab_size, dtype=torch.float32, device=device),
            torch.empty(splits, dtype=torch.float32, device=device),
            Workspace.on(device),
        )


class KernelPass:
    """Logits of 1 to ROWS tokens that follow what a cache holds.

    A row's arithmetic does not depend on how many others are in its block, so a drafted text is
    the plain one to the bit.
    """

    def __init__(
        self, model: Llama, cache: KvCache, operations: Operations, scratch: Scratch
    ) -> None:
        self._model = model
        self._cache = cache
        self._do = operations
        self._scratch = scratch
        self._norms = [_wide(layer) for layer in model.layers]
        self._norm = model.norm.float()
        self._turns = torch.view_as_real(cache.turns).contiguous()
        self._replays: dict[tuple[int, int], Callable[[], None]] = {}
        self._pool: Any = None  # memory that all graphs share

    @property
    def last(self) -> Tensor:
        """The first row of the pass before."""
        return self._scratch.logits[:1]

    def fits(self, start: int, rows: int) -> bool:
        """Whether a block can hold so many rows, its padding included."""
        return 0 < rows <= ROWS and start + _block(rows) <= self._cache.context

    def __call__(self, ids: Sequence[int], start: int) -> Tensor:
        """Logits float32 [len(ids), vocab] on the device, which the next pass overwrites. Writes
        the keys and values of `ids` at `start`. Does not wait for the device."""
        block = _block(len(ids))
        padding = [0] * (block - len(ids))
        staged = self._scratch.staged
        staged[: 1 + block] = torch.tensor([start, *ids, *padding], dtype=torch.int32)
        self._scratch.inputs.copy_(staged, non_blocking=True)
        self._replay(block, self._reach(start + block))()
        return self._scratch.logits[: len(ids)]

    def follow(self, ids: Tensor, start: int) -> Tensor:
        """As a call with the one id that lies in `ids` on the device, seen by the host or not."""
        self._scratch.inputs[:1].fill_(start)
        self._scratch.inputs[1:2].copy_(ids)
        self._replay(1, self._reach(start + 1))()
        return self._scratch.logits[:1]

    def prepare(self) -> None:
        """Compiles and captures what short texts need, which takes seconds the first time."""
        for block in BLOCKS:
            if block <= self._cache.context:
                self._replay(block, self._reach(block))

    def _reach(self, end: int) -> int:
        reach = REACH
        while reach < end:
            reach *= 2
        return min(reach, self._cache.context)

    def _replay(self, block: int, reach: int) -> Callable[[], None]:
        if (block, reach) not in self._replays:
            self._replays[block, reach] = self._captured(block, reach)
        return self._replays[block, reach]

    def _captured(self, block: int, reach: int) -> Callable[[], None]:
        run = partial(self._run, block, reach)
        if not self._scratch.logits.is_cuda:  # the interpreter
            return run
        run()  # compiles; what it writes, the replay writes over
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            run()
        self._pool = graph.pool()
        return graph.replay

    def _run(self, block: int, reach: int) -> None:
        config, do, work = self._model.config, self._do, self._scratch.workspace
        start, ids = self._scratch.inputs[:1], self._scratch.inputs[1 : 1 + block]
        eps = config.rms_norm_eps
        x = F.embedding(ids, self._model.embedding)
        layers = zip(self._model.layers, self._norms, self._cache.values, strict=False)
        for layer, (norm, mlp_norm), held in layers:
            heads = self._heads(layer, norm, x)
            mixed = do.attention(
                heads, self._turns, held, start, reach=reach, workspace=self._scratch.sums
            )
            x = do.linear(mixed, layer.out.weight, layer.out.bias, x, workspace=work)
            gated = self._gated(layer, mlp_norm, x)
            x = do.linear(gated, layer.down.weight, layer.down.bias, x, workspace=work)
        out = self._scratch.logits[:block]
        head = self._model.head
        do.norm_linear(x, self._norm, eps, head.weight, head.bias, out=out, workspace=work)

    def _heads(self, layer: Layer, norm: Tensor, x: Tensor) -> Tensor | Sums:
        do, work, config = self._do, self._scratch.workspace, self._model.config
        arguments = (x, norm, config.rms_norm_eps, layer.qkv.weight, layer.qkv.bias)
        if do.norm_sums:
            return do.norm_sums(*arguments, workspace=work)
        whole = do.norm_linear(*arguments, workspace=work)
        return whole.view(len(x), -1, config.head_dim)

    def _gated(self, layer: Layer, norm: Tensor, x: Tensor) -> Tensor:
        do, work, eps = self._do, self._scratch.workspace, self._model.config.rms_norm_eps
        weight, bias = layer.gate_up.weight, layer.gate_up.bias
        if bias is None:
            return do.norm_gate_up(x, norm, eps, weight)
        return swiglu(do.norm_linear(x, norm, eps, weight, bias, workspace=work))


def _wide(layer: Layer) -> tuple[Tensor, Tensor]:
    """Norms in float32: kernels can load these while they compute, which they cannot in 16 bits."""
    return layer.attention_norm.float(), layer.mlp_norm.float()


def _block(rows: int) -> int:
    return next(block for block in BLOCKS if block >= rows)
