from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokenhud.engines.events import EngineError
from tokenhud.engines.peers import Peers, Round, measure

PROMPT = [3, 1, 4, 1, 5, 9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        eos_token_id=list(range(50)),  # no stop id may end an answer
    )
    path = tmp_path_factory.mktemp("peers")
    LlamaForCausalLM(config).double().save_pretrained(path)
    return path


def test_both_say_the_same_and_every_round_is_raw(folder: Path) -> None:
    peers = measure(folder, PROMPT, length=12, rounds=2, dtype="float64", threads=1)
    assert peers.first_difference is None
    for rounds in (peers.native, peers.transformers):
        assert len(rounds) == 3  # a warm-up and two
        assert len({each.tokens for each in rounds}) == 1
        for each in rounds:
            assert len(each.tokens) == len(each.token_ns) == 12
            assert each.start_ns < each.token_ns[0]
            assert list(each.token_ns) == sorted(each.token_ns)
    assert set(peers.versions) == {"torch", "transformers"}


def test_they_take_turns(folder: Path) -> None:
    peers = measure(folder, PROMPT, length=4, rounds=3, dtype="float64", threads=1)
    starts = [("native", each.start_ns) for each in peers.native]
    starts += [("transformers", each.start_ns) for each in peers.transformers]
    order = [name for name, _ in sorted(starts, key=lambda each: each[1])]
    assert order == ["native", "transformers", "transformers", "native"] * 2


@pytest.mark.parametrize(("theirs", "index"), [((1, 2, 3), None), ((1, 9, 3), 1), ((1, 2, 9), 2)])
def test_the_first_difference_is_named(theirs: tuple[int, ...], index: int | None) -> None:
    ours = Round((1, 2, 3), 0, (1, 2, 3))
    peers = Peers((ours,), (Round(theirs, 0, (1, 2, 3)),), {}, 1)
    assert peers.first_difference == index


def test_a_missing_transformers_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EngineError, match=r"pip install 'tokenhud\[hf\]'"):
        measure(folder, PROMPT, length=1, rounds=1)
