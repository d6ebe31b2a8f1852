"""Small whole GGUF files, made from tiny random models of transformers."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

SPECIAL = ["<|end|>", "<|start|>", "<|stop|>"]
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
JOINED = ["Ġt", "he", "Ġthe", "12", "123", "34", "!!", "ĊĊ", "!Ċ", "Ġ!"]
TOKENS = [*SPECIAL, *BYTES, *JOINED]
KINDS = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(TOKENS) - 3)
MERGES = ["Ġ t", "h e", "Ġt he", "1 2", "12 3", "3 4", "! !", "Ċ Ċ", "! Ċ", "Ġ !"]

PIECES = ["▁", *"abcdehinorst</>.", "▁t", "he", "▁the", "in", "er", "▁▁", "▁▁▁▁", "</", "s>"]

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}

Result = TypeVar("Result")


def drained(steps: Generator[Any, None, Result]) -> tuple[list[Any], Result]:
    """What a generator yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as done:
            return seen, done.value


def tiny_model(kind: str = "llama", **options: Any) -> Any:
    shape = {
        "vocab_size": len(TOKENS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(1)
    if kind == "qwen2":
        model: Any = Qwen2ForCausalLM(Qwen2Config(**(shape | options)))
    else:
        model = LlamaForCausalLM(LlamaConfig(**(shape | options)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def write_gguf(
    path: Path,
    model: Any,
    quantized: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    architecture: str = "",
    pre: str = "gpt-2",
    extra: dict[str, np.ndarray] | None = None,
) -> Path:
    """`model` as llama.cpp's own converter would write it."""
    config = model.config
    out = gguf.GGUFWriter(path, architecture or config.model_type)
    out.add_name("Tiny")
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    write_tokenizer(out, pre)
    for name, values in model.state_dict().items():
        if not (name == "lm_head.weight" and config.tie_word_embeddings):
            _write_tensor(out, _gguf_name(name), _ordered(name, values.numpy(), config), quantized)
    for name, values in (extra or {}).items():
        out.add_tensor(name, values)
    return finished(out, path)


def write_tokenizer(out: gguf.GGUFWriter, pre: str) -> None:
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(TOKENS)
    out.add_token_types(KINDS)
    out.add_token_merges(MERGES)
    out.add_bos_token_id(1)
    out.add_eos_token_id(0)
    out.add_eot_token_id(2)
    out.add_chat_template(TEMPLATE)


def write_sentence_piece(path: Path, prefix: bool = True) -> Path:
    """A vocabulary of llama's kind; its model part is not a model."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    out = gguf.GGUFWriter(path, "llama")
    out.add_block_count(1)
    out.add_context_length(64)
    out.add_embedding_length(4)
    out.add_feed_forward_length(4)
    out.add_head_count(1)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(len(PIECES))])
    out.add_token_types([*kinds, *[kind.NORMAL] * len(PIECES)])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_space_prefix(prefix)
    out.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    return finished(out, path)


def finished(out: gguf.GGUFWriter, path: Path) -> Path:
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _write_tensor(
    out: gguf.GGUFWriter, name: str, values: np.ndarray, kind: gguf.GGMLQuantizationType
) -> None:
    if values.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
        out.add_tensor(name, values)
    else:
        out.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def _gguf_name(name: str) -> str:
    stem, _, end = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{end}"
    layer, _, part = stem.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_NAMES[part]}.{end}"


def _ordered(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """llama.cpp's order of rows: the two halves of each head interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2])
    if config.model_type != "llama" or count is None:
        return values
    halves = values.reshape(count, 2, values.shape[0] // count // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))
