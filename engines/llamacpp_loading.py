"""A GGUF becomes a model of llama.cpp, or a sentence that says why not."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Event
from typing import Any, NamedTuple

from .cache import progress
from .cgroup import free_memory
from .events import EngineError, Progress
from .gguf_file import GGUFFile, broken
from .gguf_model import read
from .llamacpp import BATCH, ROWS, LlamaCppTarget
from .llamacpp_library import forget, library, reason
from .llamacpp_sizes import ggml_type, kv_bytes, weight_bytes
from .options import DEFAULT_CONTEXT, Spec, limits
from .threads import usable_cpus

REPORT_SECONDS = 0.1

# One for all: the C library keeps what a thread that ended had freed, 5 MB of each load.
_LOADER = ThreadPoolExecutor(1)
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


class Loaded(NamedTuple):
    model: Any  # of llama.cpp
    state: Any  # what llama.cpp calls a context
    spec: Spec  # with what was decided
    kv_bytes: int


def open_llamacpp(
    file: GGUFFile, spec: Spec
) -> Generator[Progress, None, tuple[LlamaCppTarget, Spec]]:
    """The target, and `spec` with what was decided. Raises EngineError; where llama.cpp itself
    gives up on a file, it ends the process."""
    model, state, used, size = yield from load(file, spec)
    return LlamaCppTarget(model, state, used.context or 0, size), used


def load(file: GGUFFile, spec: Spec) -> Generator[Progress, None, Loaded]:
    _refuse(file)
    layers = _gpu_layers(file, spec)
    positions = _positions(file, spec.context)
    size = kv_bytes(file, positions, spec.kv_type)
    if not layers:
        _require_memory(file, positions, size)
    used = replace(
        spec,
        device="cuda" if layers else "cpu",
        threads=spec.threads or usable_cpus(),
        context=positions,
        gpu_layers=layers,
    )
    model = yield from _model(file, layers)
    try:
        return Loaded(model, _state(file, model, used), used, size)
    except BaseException:
        library().llama_model_free(model)
        raise


def _refuse(file: GGUFFile) -> None:
    """What llama.cpp would load, and would not write text with as this program does."""
    parts = read(file, "split.count", int, 1)
    if parts > 1:
        raise EngineError(
            f"{file.path.name} is one of {parts} parts of a model.",
            "Join them with llama-gguf-split --merge.",
        )
    kind = read(file, "general.architecture", str)
    encodes = any(name.startswith("enc.") for name in file.tensors)
    if encodes or not read(file, f"{kind}.attention.causal", bool, True):
        raise EngineError(
            f"{file.path.name} holds a {kind[:64]} model, which is no causal language model.",
            "Choose a causal language model.",
        )


def _gpu_layers(file: GGUFFile, spec: Spec) -> int:
    """How many to hold on a GPU; all of them count the output as one more."""
    able = library().llama_supports_gpu_offload()
    if not able and (spec.gpu_layers or spec.device == "cuda"):
        raise EngineError(
            "llama.cpp finds no GPU that this build of it can use.",
            "Use /gpu_layers 0 with /device cpu, or install llama-cpp-python built for the GPU.",
        )
    if spec.gpu_layers is not None:
        return spec.gpu_layers
    kind = read(file, "general.architecture", str)
    layers = read(file, f"{kind}.block_count", int) + 1
    most = int(limits(Spec, "gpu_layers")["high"])
    return min(layers, most) if able and spec.device != "cpu" else 0


def _positions(file: GGUFFile, asked: int | None) -> int:
    """The context to use. Learned positions end where they end; others go on."""
    kind = read(file, "general.architecture", str)
    trained = read(file, f"{kind}.context_length", int)
    if trained < 1:
        raise broken(file.path, f"{kind[:64]}.context_length is {trained}")
    learned = file.tensors.get("position_embd.weight")
    if asked and learned and asked > learned.shape[0]:
        raise EngineError(
            f"{file.path.name} has {learned.shape[0]} positions, not {asked}.",
            f"Use /context {learned.shape[0]} or less.",
        )
    return asked or min(trained, DEFAULT_CONTEXT)


def _require_memory(file: GGUFFile, positions: int, cache: int) -> None:
    needed, free = weight_bytes(file) + cache, free_memory()
    if needed > free:
        raise EngineError(
            f"{file.path.name} with a context of {positions} needs {needed / 1e9:.1f} GB, of which "
            f"the context takes {cache / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.",
            "Use a smaller /context, /kv_type q8_0, or a smaller model.",
        )


def _model(file: GGUFFile, layers: int) -> Generator[Progress, None, Any]:
    """In another thread, so that loading is told of and can be called off."""
    llama, done, called_off = library(), [0.0], Event()

    def report(share: float, _: object) -> bool:
        done[0] = share
        return not called_off.is_set()

    options = llama.llama_model_default_params()
    options.n_gpu_layers = layers
    options.progress_callback = llama.llama_progress_callback(report)
    # ggml's AMX code faults at its first product of several rows (llama.cpp issue 20824).
    options.use_extra_bufts = b"AMX_INT8 = 1" not in llama.llama_print_system_info()
    forget()
    load = _LOADER.submit(llama.llama_model_load_from_file, os.fsencode(file.path), options)
    try:
        while wait([load], REPORT_SECONDS).not_done:
            yield progress("Loading the weights", round(100 * done[0]), 100)
    except GeneratorExit:
        called_off.set()
        if model := load.result():
            llama.llama_model_free(model)
        raise
    if not load.result():
        raise EngineError(
            f"llama.cpp cannot load {file.path.name}: {reason()}.",
            "Fetch it again, choose another model, or a newer llama-cpp-python.",
        )
    return load.result()


def _state(file: GGUFFile, model: Any, used: Spec) -> Any:
    """The cache, and what a pass needs."""
    llama = library()
    options = llama.llama_context_default_params()
    options.n_ctx = used.context
    options.n_batch = options.n_ubatch = BATCH
    # Without a bound it would reserve logits for each token of a batch.
    options.n_outputs_max = options.n_outputs_max_per_seq = ROWS
    options.n_threads = options.n_threads_batch = used.threads
    options.flash_attn_type = _FLASH_ATTENTION[used.flash_attention]
    options.type_k = options.type_v = int(ggml_type(used.kv_type))
    options.offload_kqv = options.op_offload = bool(used.gpu_layers)
    options.swa_full = True  # a sliding window that forgets could take nothing back
    forget()
    state = llama.llama_init_from_model(model, options)
    if not state:
        raise EngineError(
            f"llama.cpp cannot run {file.path.name} with these settings: {reason()}.",
            "Use a smaller /context, /kv_type auto or /flash_attention auto.",
        )
    return state
