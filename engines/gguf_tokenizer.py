"""The tokenizer that a GGUF describes, as the `tokenizers` library has it.

The ids are llama.cpp's for the same text, which is what a GGUF's tokenizer means; so no Unicode
normalisation is added where the model's original tokenizer has one (Qwen2's NFC).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers.processors import TemplateProcessing

from .events import EngineError
from .gguf_file import GGUFFile, broken
from .gguf_model import read

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
ELSEWHERE = "Use /llama with this file, or the model's Hugging Face folder."

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")

# Each pattern in turn cuts the pieces that the ones before it left.
PATTERNS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
    "qwen2": (_QWEN2,),
}
_LLAMA3_NAMES = ("llama-bpe", "llama3", "llama-v3")


def tokenizer(file: GGUFFile) -> Tokenizer:
    kind = read(file, "tokenizer.ggml.model", str)
    if kind not in _BUILDERS:
        raise _unsupported(file, kind, tuple(_BUILDERS))
    tokens = _list(file, "tokenizer.ggml.tokens")
    try:
        built = _BUILDERS[kind](file, tokens)
    except EngineError:
        raise
    except Exception as error:  # tokenizers raises bare Exceptions on merges that do not fit
        raise broken(file.path, f"its tokenizer does not fit together ({error})") from error
    _add(built, file, tokens)
    _begin(built, file, tokens)
    return built


def tokenizer_config(file: GGUFFile) -> dict[str, Any]:
    """tokenizer_config.json: the special tokens' text and the chat template."""
    tokens = _list(file, "tokenizer.ggml.tokens")
    ids = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    found = {
        name: read(file, f"tokenizer.ggml.{key}_token_id", int, None) for name, key in ids.items()
    }
    named = {
        f"{name}_token": tokens[id_]
        for name, id_ in found.items()
        if id_ is not None and 0 <= id_ < len(tokens)
    }
    template = read(file, "tokenizer.chat_template", str, None)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": _adds_bos(file),
        **named,
        **({"chat_template": template} if template else {}),
    }


def _byte_level(file: GGUFFile, tokens: Sequence[str]) -> Tokenizer:
    name = read(file, "tokenizer.ggml.pre", str, "default")
    if name not in PATTERNS:
        raise _unsupported(file, name, tuple(PATTERNS))
    merges = [each.partition(" ")[::2] for each in _list(file, "tokenizer.ggml.merges")]
    model = models.BPE(
        vocab=_vocabulary(tokens), merges=merges, ignore_merges=name in _LLAMA3_NAMES
    )
    built = Tokenizer(model)
    cuts = [pre.Split(Regex(each), "isolated") for each in PATTERNS[name]]
    built.pre_tokenizer = pre.Sequence([*cuts, pre.ByteLevel(False, use_regex=False)])
    built.decoder = decoders.ByteLevel()
    return built


def _sentence_piece(file: GGUFFile, tokens: Sequence[str]) -> Tokenizer:
    scores = file.metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(tokens):
        raise broken(file.path, "its tokenizer has no score for each token")
    unknown = read(file, "tokenizer.ggml.unknown_token_id", int, 0)
    vocabulary = _vocabulary(tokens)
    model = models.BPE(
        vocab=vocabulary,
        merges=_merges(vocabulary, scores.tolist()),
        unk_token=tokens[unknown] if 0 <= unknown < len(tokens) else None,
        fuse_unk=True,
        byte_fallback=True,
    )
    built = Tokenizer(model)
    prefix = read(file, "tokenizer.ggml.add_space_prefix", bool, True)
    spaces = [normalizers.Replace(" ", "▁")]
    built.normalizer = normalizers.Sequence([*[normalizers.Prepend("▁")] * prefix, *spaces])
    whole = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    built.decoder = decoders.Sequence([*whole, *[decoders.Strip(" ", 1, 0)] * prefix])
    return built


_BUILDERS = {"gpt2": _byte_level, "llama": _sentence_piece}


def _merges(vocabulary: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """SentencePiece joins the two neighbours whose union scores highest: the same as merges that
    are ranked by the score of what they make."""
    found = [
        (-scores[id_], vocabulary[piece[:cut]], vocabulary[piece[cut:]], (piece[:cut], piece[cut:]))
        for piece, id_ in vocabulary.items()
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    return [pair for *_, pair in sorted(found)]


def _add(built: Tokenizer, file: GGUFFile, tokens: Sequence[str]) -> None:
    """Control tokens, and those that the file wants kept whole in any text."""
    kinds = list(zip(tokens, _kinds(file, len(tokens)), strict=True))
    special = [each for each, of in kinds if of in (UNKNOWN, CONTROL)]
    built.add_special_tokens([AddedToken(each, normalized=False) for each in special])
    always = [each for each, of in kinds if of == USER_DEFINED]
    built.add_tokens([AddedToken(each, normalized=False) for each in always])


def _adds_bos(file: GGUFFile) -> bool:
    """llama.cpp's own defaults where the file says nothing."""
    default = (
        read(file, "tokenizer.ggml.model", str) == "llama"
        or read(file, "tokenizer.ggml.pre", str, "") in _LLAMA3_NAMES
    )
    return bool(read(file, "tokenizer.ggml.add_bos_token", bool, default))


def _begin(built: Tokenizer, file: GGUFFile, tokens: Sequence[str]) -> None:
    bos = read(file, "tokenizer.ggml.bos_token_id", int, None)
    if _adds_bos(file) and bos is not None and 0 <= bos < len(tokens):
        built.post_processor = TemplateProcessing(
            single="bos $A",
            pair="bos $A bos $B",
            special_tokens=[{"id": "bos", "ids": [bos], "tokens": [tokens[bos]]}],
        )


def _vocabulary(tokens: Sequence[str]) -> dict[str, int]:
    return {token: id_ for id_, token in enumerate(tokens)}


def _kinds(file: GGUFFile, count: int) -> Any:
    kinds = file.metadata.get("tokenizer.ggml.token_type")
    if kinds is None:
        return [1] * count
    if not isinstance(kinds, np.ndarray) or len(kinds) != count:
        raise broken(file.path, "its tokenizer has no type for each token")
    return kinds


def _list(file: GGUFFile, key: str) -> list[str]:
    values: list[str] = read(file, key, list)
    return values


def _unsupported(file: GGUFFile, name: str, known: Sequence[str]) -> EngineError:
    return EngineError(
        f"{file.path.name} has a tokenizer of the kind {name[:64]}, and only "
        f"{', '.join(known)} can be converted.",
        ELSEWHERE,
    )
