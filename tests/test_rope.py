from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from tokenhud.engines.events import EngineError
from tokenhud.engines.rope import Rope, interleave, inverse_frequencies, rotate, turns

DIM, TRAINED, ORIGINAL, THETA = 16, 256, 64, 10_000.0
SHORT = [1.0 + 0.1 * i for i in range(DIM // 2)]
LONG = [1.0 + 0.7 * i for i in range(DIM // 2)]
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONGROPE = {"short_factor": SHORT, "long_factor": LONG}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("default", {}),
    ("linear", {"factor": 4.0}),
    ("dynamic", {"factor": 4.0}),
    ("llama3", LLAMA3),
    ("yarn", {"factor": 4.0}),
    ("yarn", {"factor": 1.0}),
    ("yarn", {"factor": 4.0, "truncate": False, "beta_fast": 20.0, "beta_slow": 2.0}),
    ("yarn", {"factor": 4.0, "attention_factor": 0.8}),
    ("yarn", {"factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.7}),
    ("longrope", LONGROPE),
    ("longrope", {**LONGROPE, "factor": 4.0}),
    ("longrope", {**LONGROPE, "attention_factor": 1.3}),
]


def rope(kind: str, options: dict[str, Any]) -> Rope:
    return Rope(kind, THETA, DIM, TRAINED, ORIGINAL, options)


def peer(kind: str, options: dict[str, Any]) -> LlamaConfig:
    parameters = {"rope_type": kind, "rope_theta": THETA, **options}
    if kind in ("llama3", "yarn", "longrope"):
        parameters["original_max_position_embeddings"] = ORIGINAL
    return LlamaConfig(
        hidden_size=4 * DIM,
        num_attention_heads=4,
        head_dim=DIM,
        max_position_embeddings=TRAINED,
        rope_parameters=parameters,
    )


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
@pytest.mark.parametrize("context", [ORIGINAL, TRAINED])
def test_frequencies_are_those_of_transformers(
    kind: str, options: dict[str, Any], context: int
) -> None:
    frequencies, scale = inverse_frequencies(rope(kind, options), context)
    config = peer(kind, options)
    compute: Any = ROPE_INIT_FUNCTIONS.get(
        kind, lambda config, **_: LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    )
    expected, attention_factor = compute(config, device="cpu", seq_len=context)
    torch.testing.assert_close(frequencies, expected, rtol=3e-7, atol=0)
    assert scale == pytest.approx(attention_factor, rel=1e-12)


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_turning_neighbours_keeps_every_score_of_turning_halves(
    kind: str, options: dict[str, Any]
) -> None:
    length = ORIGINAL
    torch.manual_seed(3)
    hidden, weight = torch.randn(length, 24), torch.randn(2 * DIM, 24)
    query, key = (hidden @ weight.T).view(length, 2, DIM).unbind(1)
    cos, sin = LlamaRotaryEmbedding(peer(kind, options))(hidden, torch.arange(length)[None])
    expected_query, expected_key = apply_rotary_pos_emb(
        query[None, None], key[None, None], cos, sin
    )

    heads = (hidden @ interleave(weight, DIM).T).view(length, 2, DIM)
    rotate(heads, turns(rope(kind, options), length, "cpu")[:, None])
    ours_query, ours_key = heads.unbind(1)

    expected = (expected_query @ expected_key.mT)[0, 0]
    torch.testing.assert_close(ours_query @ ours_key.T, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_heads_keep_their_dtype_and_length(dtype: torch.dtype) -> None:
    heads = torch.randn(5, 3, DIM).to(dtype)
    before = heads.clone()
    rotate(heads, turns(rope("default", {}), 5, "cpu")[:, None])
    assert heads.dtype == dtype
    torch.testing.assert_close(heads[0], before[0])  # position 0 does not turn
    torch.testing.assert_close(heads.norm(dim=-1), before.norm(dim=-1), rtol=2e-2, atol=0)


def test_dynamic_scaling_is_refused_only_beyond_the_trained_length() -> None:
    dynamic = rope("dynamic", {"factor": 2.0})
    inverse_frequencies(dynamic, TRAINED)
    with pytest.raises(EngineError, match=f"{TRAINED + 1}.*at most {TRAINED}"):
        inverse_frequencies(dynamic, TRAINED + 1)


@pytest.mark.parametrize(
    ("kind", "said"), [("spiral", "spiral is not known"), ("llama3", "without 'low_freq_factor'")]
)
def test_what_cannot_be_computed_is_named(kind: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        inverse_frequencies(rope(kind, {}), TRAINED)
