"""What `tokenhud bench profile` runs: a model as a chat has it, or random weights in a shape."""

from __future__ import annotations

import torch

from .checkpoint import config_of
from .events import EngineError, Message
from .finishing import finished
from .gpu import open_gpu
from .kv_cache import KvCache
from .native import NativeTarget
from .opening import open_model
from .options import Spec
from .profile import Profile, profile
from .random_model import random_model
from .shapes import SHAPES


def profile_model(spec: Spec, question: str, steps: int) -> dict[str, Profile]:
    """Of the answer to `question`, under the name of what runs it. Raises EngineError."""
    parts = finished(open_model(spec))
    try:
        prompt, _ = parts.text.prompt([Message("user", question)])
        return {_name(parts.spec): profile(parts.target, prompt, steps, parts.spec.device)}
    finally:
        parts.target.close()


def profile_shape(shape: str, spec: Spec, prompt: int, steps: int) -> dict[str, Profile]:
    """The native target on random weights, after `prompt` random tokens: with torch's operations,
    and with our kernels where they can run. Raises EngineError."""
    config, dtype = config_of(SHAPES[shape]), getattr(torch, spec.dtype)
    if spec.quantize != "none":
        raise EngineError("Random weights are not quantised.", "Use --quantize none, or a model.")
    device = "cuda" if spec.device != "cpu" and torch.cuda.is_available() else "cpu"
    model = random_model(config, dtype, device)
    context = prompt + steps
    cache = KvCache(config, dtype, device, context)
    ids = torch.randint(config.vocab_size, (prompt,), generator=torch.Generator()).tolist()
    targets = {"native, torch": NativeTarget(model, cache)}
    gpu, _ = open_gpu(model, cache, spec.triton)
    if gpu:
        targets = {"native, our kernels": NativeTarget(model, cache, gpu), **targets}
    return {name: profile(target, ids, steps, device) for name, target in targets.items()}


def _name(spec: Spec) -> str:
    """Of a resolved `spec`: the target, its weights, and who computes."""
    held = spec.dtype if spec.quantize == "none" else spec.quantize
    words = {"llamacpp": "llama.cpp", "hf": f"transformers, {held}"}
    ours = ", our kernels" if spec.triton == "on" else ""
    return words.get(spec.target, f"native, {held}{ours}")
