from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokenhud.engines.events import EngineError
from tokenhud.engines.native import open_native
from tokenhud.engines.options import Spec
from tokenhud.engines.rounds import (
    Round,
    Run,
    first_difference,
    measure,
    target_run,
    transformers_run,
)
from tokenhud.tui.headless.bench_peers import bench_peers

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


def both(folder: Path) -> dict[str, Run]:
    target = open_native(folder, "float64", "cpu", 32, 1)
    return {
        "native": target_run(target),
        "transformers": transformers_run(folder, "float64", "cpu"),
    }


def test_both_say_the_same_and_every_round_is_raw(folder: Path) -> None:
    finished = measure(both(folder), PROMPT, length=12, rounds=2)
    assert first_difference(finished["native"][-1], finished["transformers"][-1]) is None
    for rounds in finished.values():
        assert len(rounds) == 3  # a warm-up and two
        assert len({each.tokens for each in rounds}) == 1
        for each in rounds:
            assert len(each.tokens) == len(each.token_ns) == 12
            assert each.start_ns < each.token_ns[0]
            assert list(each.token_ns) == sorted(each.token_ns)


def test_they_take_turns(folder: Path) -> None:
    finished = measure(both(folder), PROMPT, length=4, rounds=3)
    starts = [(each.start_ns, name) for name, rounds in finished.items() for each in rounds]
    order = [name for _, name in sorted(starts)]
    assert order == ["native", "transformers", "transformers", "native"] * 2


@pytest.mark.parametrize(("theirs", "index"), [((1, 2, 3), None), ((1, 9, 3), 1), ((1, 2, 9), 2)])
def test_the_first_difference_is_named(theirs: tuple[int, ...], index: int | None) -> None:
    times = (1, 2, 3)
    assert first_difference(Round((1, 2, 3), 0, times), Round(theirs, 0, times)) == index


def test_a_missing_transformers_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EngineError, match=r"pip install 'tokenhud\[hf\]'"):
        transformers_run(folder, "float64", "cpu")


def test_the_table_holds_every_engine_and_leaves_out_what_cannot_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: Spec) -> Run:
        raise EngineError("It is absent.", "Install it.")

    runs = both(folder)
    makers = {name: lambda _, run=run: run for name, run in runs.items()} | {"third": absent}
    monkeypatch.setattr("tokenhud.engines.peers.REACHABLE", makers)
    monkeypatch.setattr("tokenhud.engines.catalog.checkpoint", lambda _: folder)
    monkeypatch.setattr("tokenhud.engines.text.Text", FakeText)
    assert bench_peers(Spec(), "long", 2, 12, as_json=False) == 0
    told = capsys.readouterr()
    assert "third is left out: It is absent. Install it." in told.err
    native, transformers = told.out.splitlines()[1:3]
    assert native.startswith("native")
    assert native.endswith("the same")
    assert transformers.split()[5:9] == ["1.00", "(1.00", "to", "1.00)"]


class FakeText:
    def __init__(self, folder: Path) -> None:
        pass

    def prompt(self, _: object) -> tuple[list[int], list[str]]:
        return PROMPT, []
