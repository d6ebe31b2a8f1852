"""The llama.cpp target on tiny models, beside transformers on the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tokenhud.engines import llamacpp_library
from tokenhud.engines.drafters import Plain
from tokenhud.engines.events import EngineError
from tokenhud.engines.gguf_file import open_gguf
from tokenhud.engines.llamacpp import BATCH, ROWS, LlamaCppTarget
from tokenhud.engines.llamacpp_loading import open_llamacpp
from tokenhud.engines.lookup import Lookup
from tokenhud.engines.loop import Fixed, decode, prefill
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.suffix import Suffix

from .tiny_gguf import TOKENS, drained, tiny_model, write_gguf
from .tiny_models import near

pytest.importorskip("llama_cpp")

IDS = [5, 9, 60, 2, 44, 17, 80, 33, 12]
EXACT = {"kv_type": "f32", "flash_attention": "off"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny_model(max_position_embeddings=2048)
    return write_gguf(tmp_path_factory.mktemp("llamacpp") / "tiny.gguf", model)


@pytest.fixture(scope="module")
def truth() -> Any:
    return tiny_model(max_position_embeddings=2048)


@pytest.fixture
def target(path: Path) -> Iterator[LlamaCppTarget]:
    opened = open_target(path, context=1024, **EXACT)
    yield opened
    opened.close()


def open_target(path: Path, **settings: Any) -> LlamaCppTarget:
    return opened(path, **settings)[0]


def opened(path: Path, **settings: Any) -> tuple[LlamaCppTarget, Spec]:
    spec = Spec(**{"device": "cpu", "threads": 1, **settings})
    return drained(open_llamacpp(open_gguf(path), spec))[1]


def wanted(model: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].double().numpy()


def test_rows_are_those_of_the_model(target, truth):
    near(target.logits(IDS, len(IDS)), wanted(truth, IDS), 1e-3)
    assert target.logits(IDS, 0).shape == (0, len(TOKENS))
    assert target.vocabulary == len(TOKENS)


def test_a_rejected_draft_leaves_nothing_behind(target, truth):
    target.logits(IDS, 1)
    target.logits([*IDS[:4], 7, 7, 7, 7], 4)
    near(target.logits([*IDS[:4], 8, 3], 2), wanted(truth, [*IDS[:4], 8, 3])[-2:], 1e-3)


def test_what_is_shared_is_not_evaluated_again(target):
    target.logits(IDS, 1)
    assert target.cached([*IDS, 3, 4]) == len(IDS)
    assert target.cached(IDS) == len(IDS) - 1
    assert target.cached([*IDS[:3], 99]) == 3
    assert target.cached([]) == 0


def test_any_number_of_rows_comes_in_passes_of_bounded_size(target, truth):
    ids = np.random.default_rng(0).integers(3, len(TOKENS), BATCH + 2 * ROWS).tolist()
    rows = target.logits(ids, ROWS + 30)
    near(rows, wanted(truth, ids)[-ROWS - 30 :], 1e-3)


def test_a_prompt_fed_in_chunks_gives_the_same_rows(target, truth):
    ids = (IDS * 12)[:100]
    assert list(prefill(target, ids, 16)) == [16, 32, 48, 64, 80, 96]
    near(target.logits(ids, 1), wanted(truth, ids)[-1:], 1e-3)


@pytest.mark.parametrize("drafter", [Lookup, Suffix])
def test_drafts_change_no_word(target, drafter):
    """In float32 with one thread a tiny model has no near-ties to lose."""
    said = []
    for each in (Plain(), drafter()):
        target.logits([], 0)
        each.begin(IDS * 3, Sampling())
        blocks = list(decode(target, each, IDS * 3, Sampling(), Fixed(4), (), 60))
        said.append([token for block in blocks for token in block.tokens])
    assert said[0] == said[1]
    assert sum(block.accepted for block in blocks) > 0


def test_the_end_of_the_context_is_told_and_nothing_is_lost(path):
    small = open_target(path, context=16, **EXACT)
    try:
        row = small.logits(IDS, 1)
        with pytest.raises(EngineError, match="17 tokens do not fit into the context of 16"):
            small.logits([5] * 17, 1)
        assert small.cached([*IDS, 1]) == len(IDS)
        near(small.logits(IDS, 1), row.astype(np.float64), 1e-3)
    finally:
        small.close()


def test_an_id_that_it_lacks_is_an_error_and_what_was_held_stays_true(target, truth):
    target.logits(IDS, 1)
    with pytest.raises(EngineError, match=r"llama\.cpp cannot evaluate 2 tokens: invalid token"):
        target.logits([*IDS, 4, 10**6], 1)
    near(target.logits([*IDS, 4], 1), wanted(truth, [*IDS, 4])[-1:], 1e-3)


@pytest.mark.parametrize(("kind", "block_bytes"), [("f32", 4), ("f16", 2), ("auto", 2)])
def test_the_cache_takes_what_is_told(path, kind, block_bytes):
    target = open_target(path, context=300, kv_type=kind)
    assert target.memory()["kv_cache"] == 512 * 2 * 2 * 8 * 2 * block_bytes
    assert target.memory()["weights"] > 0
    assert target.parameters == sum(each.numel() for each in tiny_model().parameters())
    target.close()


def test_what_is_used_is_told(path):
    target, used = opened(path, threads=None, context=None)
    assert (used.context, used.gpu_layers, used.device) == (2048, 0, "cpu")
    assert used.threads >= 1
    target.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kv_type": "q8_0", "flash_attention": "off"}, "cannot run tiny.gguf with these settings"),
        ({"context": 10_000_000, "kv_type": "f32"}, None),
        ({"gpu_layers": 3}, "no GPU"),
        ({"device": "cuda"}, "no GPU"),
    ],
)
def test_settings_that_cannot_be_met_are_one_sentence(path, settings, said, monkeypatch):
    if said is None:
        monkeypatch.setattr("tokenhud.engines.llamacpp_loading.free_memory", lambda: 1e9)
        said = r"needs 2\.\d GB, of which the context takes 2\.\d GB, and 1\.0 GB are free"
    with pytest.raises(EngineError, match=said) as refusal:
        opened(path, **settings)
    assert "\n" not in str(refusal.value)


def test_learned_positions_end_where_they_end(tmp_path):
    extra = {"position_embd.weight": np.zeros((64, 32), np.float32)}
    learned = write_gguf(tmp_path / "learned.gguf", tiny_model(), extra=extra)
    with pytest.raises(EngineError, match="has 64 positions, not 65"):
        opened(learned, context=65)


def test_loading_can_be_called_off_and_leaves_nothing(path):
    steps = open_llamacpp(open_gguf(path), Spec(device="cpu", threads=1, context=64))
    for _ in steps:
        break
    steps.close()
    open_target(path, context=64).close()


class Recurrent:
    """The library with a model that says it keeps a running state."""

    def __init__(self) -> None:
        self._true = llamacpp_library.library()

    def __getattr__(self, name: str) -> object:
        return getattr(self._true, name)

    def llama_model_is_recurrent(self, _: object) -> bool:
        return True


def test_a_running_state_is_kept_whole_or_not_at_all(path, truth, monkeypatch):
    monkeypatch.setattr("tokenhud.engines.llamacpp.library", Recurrent)
    target = open_target(path, context=64, **EXACT)
    target.logits(IDS, 1)
    assert target.cached([*IDS, 3]) == len(IDS)
    assert target.cached([*IDS[:4], 3]) == 0
    near(target.logits([*IDS[:4], 3], 1), wanted(truth, [*IDS[:4], 3])[-1:], 1e-3)
    assert "cannot take back" in target.no_rollback
    target.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("gone", name="llama_cpp"), "is not installed"),
        (OSError("libgomp.so.1: no such file"), "cannot be loaded: libgomp"),
    ],
)
def test_a_library_that_is_not_there_names_the_command(monkeypatch, error, said):
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(EngineError, match=f"{said}.*pip install llama-cpp-python"):
        llamacpp_library.library.__wrapped__()
