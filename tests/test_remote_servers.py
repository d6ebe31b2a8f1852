"""Real servers on loopback, with the included model: what they say is what this machine says."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tokenhud.engines.catalog import checkpoint
from tokenhud.engines.events import Chunk, Event, Loaded, Message, Request, Served, Start, Step
from tokenhud.engines.gguf_path import gguf_path
from tokenhud.engines.local import LocalEngine
from tokenhud.engines.opening import open_model
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.remote import RemoteEngine
from tokenhud.sessions.metrics import turn_metrics

from .wire import end, said

pytestmark = pytest.mark.model
QUESTION = (Message("user", "Why is the sky blue?"),)
LENGTH, PATIENCE = 8, 120  # tokens; seconds for a server to start
LLAMA = """
import llama_cpp.llama_cpp as library, llama_cpp.server.__main__ as server
usual = library.llama_model_default_params
def plain():  # ggml's AMX code faults where there is AMX: llama.cpp issue 20824
    options = usual()
    options.use_extra_bufts = False
    return options
library.llama_model_default_params = plain
server.main()
"""


def missing(*packages: str) -> list[str]:
    return [each for each in packages if importlib.util.find_spec(each) is None]


def needs(*packages: str) -> pytest.MarkDecorator:
    absent = missing(*packages)
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


@contextmanager
def served(*line: str | Path) -> Iterator[str]:
    """The address of a server started by `line` and a port, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *line, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/v1/models", trust_env=False).status_code == 200:
                return
        except httpx.RequestError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: status {process.poll()}")


def asked(engine: LocalEngine | RemoteEngine, spec: Spec) -> list[Event]:
    return list(engine.stream(Request(QUESTION, spec, Sampling(length=LENGTH))))


def here(spec: Spec) -> tuple[str, int]:
    """The words of this machine, and how many tokens the prompt has."""
    engine = LocalEngine(open_model)
    events = asked(engine, spec)
    engine.close()
    begun = next(each for each in events if isinstance(each, Start))
    text = "".join(piece for each in events if isinstance(each, Step) for piece in each.pieces)
    return text, len(begun.prompt)


@needs("fastapi", "uvicorn", "openai", "typer")
def test_transformers_serve_says_and_counts_what_this_machine_does() -> None:
    folder = checkpoint("smollm2")
    line = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    with served("-c", line, "serve", folder, "--device", "cpu", "--dtype", "float32") as url:
        engine = RemoteEngine()
        loaded = list(engine.load(Spec(url=url)))[-1]
        assert isinstance(loaded, Loaded)
        assert loaded.notes[0].startswith("transformers serve")
        events = asked(engine, Spec(url=url))
        engine.close()
    turn = turn_metrics(events)
    text, prompt = here(Spec(device="cpu"))
    assert (said(events), turn.prompt_tokens) == (text, prompt)
    assert turn.completion_tokens == LENGTH
    assert turn.reason == "length"
    assert turn.adjusted_ttft_ns is not None
    assert turn.decode_rate is not None
    assert turn.decode_ns is not None
    assert turn.decode_rate * turn.decode_ns / 1e9 == pytest.approx(LENGTH - 1)


@needs("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")
def test_llama_cpp_pythons_server_says_the_same_and_counts_nothing() -> None:
    model = ("--model", gguf_path("smollm2"), "--n_ctx", "512", "--n_threads", "1")
    with served("-c", LLAMA, *model) as url:
        engine = RemoteEngine()
        loaded = list(engine.load(Spec(url=f"{url}/v1")))[-1]
        assert isinstance(loaded, Loaded)
        assert loaded.notes[0].startswith("llama-cpp-python")
        events = asked(engine, Spec(url=f"{url}/v1"))
        engine.close()
    turn = turn_metrics(events)
    alike = Spec(target="llamacpp", device="cpu", context=512, threads=1, flash_attention="off")
    text, _ = here(alike)
    assert said(events) == text
    assert turn.reason == "length"
    assert turn.ttft_ns is not None
    assert turn.completion_tokens is None  # its pieces were many, and are not taken for tokens
    assert sum(isinstance(each, Chunk) for each in events) > LENGTH // 2
    (told,) = (each for each in events if isinstance(each, Served))
    assert any("number of its tokens" in note for note in told.notes)
    assert end(events).what == ""
