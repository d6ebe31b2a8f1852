from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenhud.engines.catalog import checkpoint
from tokenhud.engines.events import EngineError
from tokenhud.engines.opening import open_model
from tokenhud.engines.options import Spec
from tokenhud.engines.parts import Parts

from .tiny_gguf import TOKENS, drained, tiny_model, write_gguf
from .tiny_models import Peer

IDS = [5, 9, 40, 2, 44]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def llama(tmp_path) -> Path:
    return checkpoint(str(write_gguf(tmp_path / "llama.gguf", tiny_model())))


@pytest.fixture
def gpt2(tmp_path, llama) -> Path:
    peer = Peer("gpt2", tmp_path / "gpt2")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (peer.folder / name).write_bytes((llama / name).read_bytes())
    return peer.folder


def opened(model: Path, target: str) -> Parts:
    spec = Spec(model=str(model), target=target, device="cpu", threads=1, dtype="float64")
    return drained(open_model(spec))[1]


def test_auto_takes_our_own_target_where_it_can(llama):
    assert opened(llama, "auto").spec.target == "native"


def test_auto_takes_transformers_for_the_rest(gpt2):
    parts = opened(gpt2, "auto")
    assert parts.spec.target == "hf"
    assert (parts.model.architecture, parts.model.context) == ("gpt2", 64)
    assert parts.target.logits(IDS, 2).shape == (2, 61)


def test_a_target_that_is_named_is_the_one_used(llama, gpt2):
    ours, other = opened(llama, "native"), opened(llama, "hf")
    assert (ours.spec.target, other.spec.target) == ("native", "hf")
    rows = ours.target.logits(IDS, 3)
    assert np.abs(rows - other.target.logits(IDS, 3)).max() < 1e-5 * np.abs(rows).max()
    assert ours.model == other.model
    with pytest.raises(EngineError, match="architecture is GPT2LMHeadModel"):
        opened(gpt2, "native")


def test_what_is_wrong_with_a_file_of_our_own_kind_is_said_by_our_own_target(llama):
    (llama / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(EngineError, match="cannot be read"):
        opened(llama, "auto")


def test_the_vocabulary_is_the_models_own(llama):
    assert opened(llama, "hf").model.vocabulary == len(TOKENS)
