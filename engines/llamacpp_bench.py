"""A bare loop over llama.cpp, to see what ours costs on top of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ctypes import POINTER, c_int32

import numpy as np

from .finishing import finished
from .gguf_file import open_gguf
from .gguf_path import gguf_path
from .llamacpp import BATCH
from .llamacpp_library import library
from .llamacpp_loading import load
from .options import Spec
from .rounds import Round, Run


def bare_run(spec: Spec) -> Run:
    """A pass over the prompt, then one a token and the argmax of its logits, each written down as
    simply as it can be. Weights, threads and cache are opened as our own target opens them."""
    llama = library()
    model, state, *_ = finished(load(open_gguf(gguf_path(spec.model)), spec))
    memory = llama.llama_get_memory(state)
    size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def feed(ids: Sequence[int]) -> None:
        array = np.array(ids, np.int32)
        tokens = array.ctypes.data_as(POINTER(c_int32))
        if llama.llama_decode(state, llama.llama_batch_get_one(tokens, len(ids))):
            raise RuntimeError("llama_decode failed")

    def run(prompt: Sequence[int], length: int) -> Round:
        llama.llama_memory_clear(memory, False)
        tokens: list[int] = []
        times: list[int] = []
        start = time.perf_counter_ns()
        for at in range(0, len(prompt), BATCH):
            feed(prompt[at : at + BATCH])
        while len(tokens) < length:
            if tokens:
                feed(tokens[-1:])
            row = np.ctypeslib.as_array(llama.llama_get_logits_ith(state, -1), (size,))
            tokens.append(int(row.argmax()))
            times.append(time.perf_counter_ns())
        return Round(tuple(tokens), start, tuple(times))

    return run
