"""Our kernels over one cache: who computes what, passes as graphs, picks on the device."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .events import EngineError
from .flight import Flight
from .kv_cache import KvCache
from .llama import Llama
from .options import Sampling

if TYPE_CHECKING:
    from .kernel_pass import KernelPass

NO_TRITON = "Triton is not installed", "Run: pip install 'tokenhud[triton]'"
NO_WEIGHTS = (
    "Our kernels multiply no weights of this kind",
    "Use /dtype bfloat16 with /quantize none, int8 or int4.",
)
ON_A_CPU = (
    "Our kernels need a CUDA device, and this model runs on the CPU",
    "Use /triton auto; `TRITON_INTERPRET=1 tokenhud kernels` checks them slowly without a GPU.",
)


class Gpu:
    """Made for a model and its cache; `notes` say what torch computes instead, and why."""

    def __init__(self, model: Llama, cache: KvCache) -> None:
        from ..kernels.sampling import pick  # here and below: without Triton all else must work
        from .kernel_pass import Scratch
        from .operations import choose_operations

        device = cache.values.device
        self._scratch = Scratch.beside(cache, model.config)
        self._operations, self.notes = choose_operations(model, cache, self._scratch.workspace)
        self._pick = pick
        self._passes: dict[int, KernelPass] = {}
        self._place = torch.zeros(1, dtype=torch.int32, device=device)
        self._said = torch.zeros(cache.context + 1, dtype=torch.int32, device=device)

    def of(self, model: Llama, cache: KvCache) -> KernelPass:
        """Passes of `model`, which may be the first layers of the one this was made for."""
        from .kernel_pass import KernelPass

        layers = len(model.layers)
        if layers not in self._passes:
            held = KernelPass(model, cache, self._operations, self._scratch)
            self._passes[layers] = held
        return self._passes[layers]

    def send(self, rows: Tensor, tokens: Sequence[int], sampling: Sampling) -> Flight:
        """Has picked what `pick.pick` says of each of `rows`, which follow the last of `tokens`
        one by one, without waiting for it."""
        self._place.fill_(len(tokens) - len(rows) + 1)
        if sampling.repetition_penalty != 1:
            self._said[: len(tokens)].copy_(torch.tensor(tokens, dtype=torch.int32))
        return self._picked(rows, sampling)

    def follow(self, run: KernelPass, ids: Tensor, start: int, sampling: Sampling) -> Flight:
        """The pass over the token that lies in `ids`, seen by the host or not, and what is picked
        after it."""
        self._place.fill_(start + 1)
        return self._picked(run.follow(ids, start), sampling)

    def _picked(self, rows: Tensor, sampling: Sampling) -> Flight:
        ids = self._pick(
            rows,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed or 0,
            positions=self._place,
            history=self._said,
        )
        return Flight(ids, sampling)


def open_gpu(model: Llama, cache: KvCache, asked: str) -> tuple[Gpu | None, tuple[str, ...]]:
    """Our kernels for a model where they can run; `asked` is Spec.triton. The notes say why not.
    Raises EngineError where they are insisted on in vain."""
    if asked == "off":
        return None, ()
    problem, remedy = _obstacle(model, cache.values)
    if problem and asked == "on":
        raise EngineError(f"{problem}.", remedy)
    if problem:
        return None, (f"{problem}.",) if cache.values.is_cuda else ()
    try:
        with torch.inference_mode():
            gpu = Gpu(model, cache)
            gpu.of(model, cache).prepare()
            for sampling in (Sampling(), Sampling(temperature=1, seed=0, top_k=2, top_p=0.9)):
                gpu.send(gpu.of(model, cache).last, [0], sampling).land()
    except Exception as error:  # whatever a compiler or driver raises is a reason to do without
        lines = str(error).strip().splitlines() or ["no message"]
        reason = f"Our kernels fail on this device ({type(error).__name__}: {lines[0][:200]})"
        if asked == "on":
            raise EngineError(f"{reason}.", "Use /triton off.") from error
        return None, (f"{reason}, so torch computes all.",)
    return gpu, gpu.notes


def _obstacle(model: Llama, values: Tensor) -> tuple[str, str]:
    if not values.is_cuda:
        return ON_A_CPU
    held = (model.head.weight, model.layers[0].qkv.weight)
    if values.dtype == torch.float64 or any(weight is None for weight in held):
        return NO_WEIGHTS
    if find_spec("triton") is None:
        return NO_TRITON
    return "", ""
