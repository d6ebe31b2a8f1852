"""Tiny random models of transformers, as checkpoint folders and as the truth about their logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

VOCAB, CONTEXT, WINDOW = 61, 64, 8
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
}
GPT = {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SHAPE),
    "gpt2": ("GPT2Config", GPT),
    "neox": ("GPTNeoXConfig", SHAPE),
    "bloom": ("BloomConfig", {"vocab_size": VOCAB, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "opt": ("OPTConfig", {**SHAPE, "ffn_dim": 40, "word_embed_proj_dim": 32}),
    "qwen3": ("Qwen3Config", SHAPE),
    "phi3": ("Phi3Config", {**SHAPE, "sliding_window": WINDOW}),
    "gemma3": (
        "Gemma3TextConfig",
        {**SHAPE, "sliding_window": WINDOW, "layer_types": ALTERNATING},
    ),
    "llama4": (
        "Llama4TextConfig",
        {
            **SHAPE,
            "num_hidden_layers": 4,
            "attention_chunk_size": WINDOW,
            "intermediate_size_mlp": 40,
            "num_local_experts": 2,
        },
    ),
    "mixtral": ("MixtralConfig", {**SHAPE, "num_local_experts": 2}),
    "mamba": (
        "MambaConfig",
        {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    ),
    "lfm2": (
        "Lfm2Config",
        {
            **SHAPE,
            "layer_types": ["conv", "full_attention", "conv"],
            "block_auto_adjust_ff_dim": False,
        },
    ),
    "rwkv": (
        "RwkvConfig",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "context_length": CONTEXT,
            "attention_hidden_size": 32,
            "intermediate_size": 40,
        },
    ),
    "bert": ("BertConfig", {**SHAPE, "num_hidden_layers": 2}),
    "t5": ("T5Config", {"vocab_size": VOCAB, "d_model": 32, "d_kv": 8, "num_heads": 4}),
}


class Peer:
    """A model in float64, and the folder that it is saved in."""

    def __init__(self, name: str, folder: Path) -> None:
        kind, shape = CONFIGS[name]
        torch.manual_seed(3)
        self.folder = folder
        self.model = _made(getattr(transformers, kind)(**shape)).double().eval()
        for weight in self.model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
            else:  # norms about 1, biases about 0, and decays where they were
                weight.data += 0.1 * torch.randn_like(weight)
        self.model.save_pretrained(folder)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        """Of every place, in one pass without a cache."""
        with torch.inference_mode():
            rows: NDArray[np.float64] = self.model(torch.tensor([tokens])).logits[0].numpy()
        return rows


def _made(config: Any) -> Any:
    kinds = transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM
    make: Any = kinds[config.is_encoder_decoder].from_config
    return make(config)


def words(length: int, seed: int = 0) -> list[int]:
    return [int(word) for word in np.random.default_rng(seed).integers(VOCAB, size=length)]


def near(rows: NDArray[Any], truth: NDArray[np.float64], tolerance: float = 1e-5) -> None:
    """Many architectures round their norms or their logits to float32, in a float64 model too."""
    assert rows.shape == truth.shape
    assert np.abs(rows - truth).max(initial=0) <= tolerance * np.abs(truth).max(initial=1)
