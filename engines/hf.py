"""Any other causal language model, run by transformers, with a cache that follows the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .events import EngineError
from .hf_forward import Forward, Keeps, held_bytes
from .hf_library import first_line
from .hf_loading import Checkpoint
from .hf_quantised import told
from .on_torch import no_rows, on_host, prepare
from .pick import Logits
from .prefix import require_room, shared


class HfTarget:
    """A `Target`. What it holds is dropped before a pass and noted after it, so that a pass that
    fails leaves nothing behind."""

    triton = "off"  # our kernels are the native target's

    def __init__(
        self,
        forward: Forward,
        keeps: Keeps,
        vocabulary: int,
        context: int,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.context = context
        self.notes = notes  # what a person should know about the weights
        self.vocabulary = vocabulary
        self.no_rollback = ""
        if keeps in (Keeps.STEPS, Keeps.GROWTH):
            self.no_rollback = (
                f"{forward.model_type} keeps a running state that cannot be taken back, so drafts "
                "cannot be checked with it."
            )
        self._forward = forward
        self._keeps = keeps
        self._cache: Any = None
        self._held: list[int] = []  # the tokens that the cache has read

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int], last: int) -> Logits:
        require_room(tokens, last, self.context)
        start = self._kept(tokens, len(tokens) - last)
        excess, self._held = len(self._held) - start, []
        if not start:
            self._cache = self._forward.new_cache() if self._keeps else None
        elif excess:
            self._cache.crop(-excess)
        rows = self._feed(tokens[start:], start, last)
        if self._keeps:
            self._held = list(tokens)
        return rows

    def cached(self, tokens: Sequence[int]) -> int:
        return self._kept(tokens, max(0, len(tokens) - 1))

    @property
    def parameters(self) -> int:
        return int(self._forward.model.num_parameters())

    def memory(self) -> dict[str, int]:
        """Bytes by component."""
        weights = self._forward.model.get_memory_footprint()
        return {"weights": int(weights), "kv_cache": held_bytes(self._cache)}

    def close(self) -> None:
        cuda = self._forward.device == "cuda"
        del self._forward, self._cache
        if cuda:
            torch.cuda.empty_cache()

    def _kept(self, tokens: Sequence[int], most: int) -> int:
        """How many leading tokens need no new evaluation, if at most that many may be kept."""
        same = shared(self._held, tokens)
        if self._keeps is Keeps.ROLLBACK:
            return min(same, most)
        return same if len(self._held) == same <= most else 0

    def _feed(self, ids: Sequence[int], start: int, last: int) -> Logits:
        if not ids:
            return no_rows(self.vocabulary)
        size = 1 if start and self._keeps is Keeps.STEPS else len(ids)
        rows = [
            self._forward(ids[at : at + size], start + at, min(last, size), self._cache)
            for at in range(0, len(ids), size)
        ]
        kept = torch.cat(rows)
        return on_host(kept[len(kept) - last :])


def open_hf(
    folder: Path,
    dtype: str,
    device: str,
    context: int | None,
    threads: int | None,
    quantize: str = "none",
) -> HfTarget:
    """Loads a checkpoint folder; refuses with EngineError what would not be computed rightly."""
    prepare(device, threads)
    checkpoint = Checkpoint(folder)
    positions = checkpoint.positions(context)
    try:
        forward = Forward(checkpoint.load(getattr(torch, dtype), device, quantize), device)
        with torch.inference_mode():
            keeps = forward.keeps()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise checkpoint.too_large(device) from error
    except (RuntimeError, AssertionError) as error:  # where an operation lacks a format or a shape
        held = dtype if quantize == "none" else f"{dtype} with {quantize} weights"
        raise EngineError(
            f"{folder.name} cannot run in {held} on {device}: {first_line(error)}.",
            "Try another /dtype, such as float32." if held == dtype else "Use /quantize none.",
        ) from error
    return HfTarget(forward, keeps, checkpoint.vocabulary, positions, told(quantize, device))
