"""docs/api.md runs as it stands, on an engine that says what a script says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tokenhud.api as th

from .fakes import ScriptedEngine, chat_with, words

DOCS = Path(__file__).parents[1] / "docs" / "api.md"


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        "tokenhud.api.ProcessEngine", lambda: ScriptedEngine(words("Paris is the capital."))
    )
    monkeypatch.setattr("tokenhud.sessions.bench.running.IDLE", 0.0)
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    chat = chat_with(ScriptedEngine(), tmp_path)
    chat.log.save_as(tmp_path / "chat.jsonl")
    list(chat.ask("Hello?"))
    chat.close()
    for name in ("before", "after"):
        th.bench(["code"], runs=3, warmup=1, out=Path(name))
    return tmp_path


def test_the_documented_code_runs(notebook: Path):
    text = DOCS.read_text("utf-8")
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(re.sub(r"^ {4}", "", block, flags=re.MULTILINE), names)
    assert names["answer"].text == "Paris is the capital."
    assert names["answer"].metrics.decode_rate == 40.0
    assert names["result"].methods == ("plain", "suffix", "int8")
    assert names["verdict"].exit_status == 0
    assert list(notebook.glob("*.png"))


@pytest.mark.usefixtures("notebook")
def test_settings_are_fields_of_the_two_option_types():
    with th.open_chat(drafter="suffix", temperature=0.5, system="Brief.") as chat:
        assert (chat.spec.drafter, chat.sampling.temperature) == ("suffix", 0.5)
        assert chat.system == "Brief."
    with pytest.raises(ValueError, match="Sampling has no option colour"):
        th.open_chat(colour="red")


@pytest.mark.usefixtures("notebook")
def test_every_step_is_watched():
    told: list[object] = []
    th.bench(["code"], runs=1, warmup=0, watch=told.append)
    assert {type(each).__name__ for each in told} >= {"Doing", "Start", "Step", "Stop", "Run"}


@pytest.mark.usefixtures("notebook")
def test_a_failed_answer_is_an_error(monkeypatch: pytest.MonkeyPatch):
    fault = th.EngineError("No memory.", "Use a smaller model.")
    monkeypatch.setattr("tokenhud.api.ProcessEngine", lambda: ScriptedEngine([fault]))
    with th.open_chat() as chat, pytest.raises(th.EngineError, match="No memory"):
        th.ask(chat, "Hello?")
