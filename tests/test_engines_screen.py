"""What a person sees and does on the screen of engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tokenhud.engines.available import KERNELS, Availability, availability, forms
from tokenhud.engines.events import Loaded
from tokenhud.engines.models_here import ModelHere
from tokenhud.engines.options import DRAFTERS, Sampling, Spec
from tokenhud.sessions.records import Setting
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.chat.screen import ChatScreen
from tokenhud.tui.commands.grammar import Call
from tokenhud.tui.commands.table import parse
from tokenhud.tui.screens.engine_choices import (
    Running,
    drafters,
    forms_of_weights,
    models,
    runtimes,
    servers,
    used_servers,
)
from tokenhud.tui.screens.engines import EnginesScreen

from .fakes import MODEL, Beat, ScriptedEngine, chat_with, words

LOADED = Loaded(0, MODEL, Spec(target="native", device="cpu"), 1, {"weights": 1})
HERE = Running(Spec(), Sampling(), LOADED)


def test_every_line_is_one_that_could_be_typed() -> None:
    model = ModelHere("~/models/a b.gguf", "a b", "GGUF Q4_1", 1, 2, True)
    found = [
        *runtimes(availability(""), HERE),
        *forms_of_weights(forms(), HERE),
        *drafters(HERE),
        *models([model], HERE),
        *servers(["http://gpu1:8000"], HERE),
    ]
    assert [each.name for each in found if not isinstance(parse(each.line), Call)] == [
        each.name for each in found if not each.line
    ]
    assert {"/suffix", "/quantize int8", "/llama ~/models/a b.gguf", "/engine local"} <= {
        each.line for each in found
    }
    assert set(DRAFTERS) <= {each.name for each in found}


def test_what_cannot_run_says_why_and_how_to_install_it() -> None:
    absent = Availability("nf4", False, "bitsandbytes is missing", "pip install 'tokenhud[bnb]'")
    (form,) = forms_of_weights([absent], HERE)
    assert (form.line, form.why) == ("", ("bitsandbytes is missing", "pip install 'tokenhud[bnb]'"))
    kernels = next(each for each in availability("no driver") if each.name == KERNELS)
    assert "no NVIDIA device: no driver" in kernels.why
    elsewhere = replace(HERE, spec=Spec(model="org/name"))
    llama = next(each for each in runtimes(availability(""), elsewhere) if "llama" in each.name)
    assert llama.why == ("org/name is no GGUF file.",)


def test_what_runs_and_what_comes_next_are_marked() -> None:
    asked = replace(HERE, spec=Spec(quantize="int8", drafter="suffix"))
    marks = {each.name: each.mark for each in forms_of_weights(forms(), asked)}
    assert (marks["none"], marks["int8"], marks["bf16"]) == ("runs", "next", "")
    assert [each.name for each in drafters(asked) if each.mark == "runs"] == ["suffix"]
    searching = replace(asked, sampling=Sampling(num_beams=4))
    assert [each.name for each in drafters(searching) if each.mark] == ["beam"]
    remote = replace(HERE, spec=Spec(url="http://gpu1"))
    assert [each.mark for each in servers(["http://gpu1"], remote)] == ["", "next"]


def test_servers_that_were_used_come_back_latest_first() -> None:
    records = [Setting("url", each) for each in ("http://a", "http://b", "", "http://a")]
    assert used_servers(records) == ["http://a", "http://b"]


class Table:
    def __init__(self, app: TokenhudApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> EnginesScreen:
        assert isinstance(self.app.screen, EnginesScreen)
        return self.app.screen

    @property
    def rows(self) -> list[str]:
        return [str(each.prompt) for each in self.screen.query_one(OptionList).options]

    def row(self, name: str) -> str:
        return next(each for each in self.rows if each[2:].startswith(name))

    def pane(self, name: str) -> str:
        return str(self.screen.query_one(f"#{name}", Static).content)

    async def learned(self) -> None:
        for _ in range(600):
            if self.screen._known:
                await self.pilot.pause()
                return
            await asyncio.sleep(0.02)
        raise AssertionError("nothing was learned")

    async def choose(self, name: str) -> None:
        options = self.screen.query_one(OptionList)
        options.highlighted = self.rows.index(self.row(name))
        await self.pilot.pause()


@asynccontextmanager
async def opened(folder: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Table]:
    drafts = [Beat((" x", " y"), 4, 1, 25) for _ in range(5)]
    engine = ScriptedEngine(words("a b c"), words("a b c d e"), drafts)
    app = TokenhudApp(chat_with(engine, folder / "sessions"))
    async with app.run_test(size=size) as pilot:
        assert isinstance(app.screen, ChatScreen)
        await app.screen.at_rest()
        for text in ("one", "two"):
            app.screen.send(text)
            await app.screen.at_rest()
        app.screen.run_line("/suffix")
        app.screen.send("three")
        await app.screen.at_rest()
        app.screen.run_line("/engine")
        await pilot.pause()
        at = Table(app, pilot)
        await at.learned()
        yield at
        engine.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("size", [(80, 24), (140, 45), (20, 5)])
async def test_the_rows_tell_what_runs_and_what_was_measured(tmp_path: Path, size) -> None:
    async with opened(tmp_path, size) as at:
        assert at.row("suffix").startswith("● suffix")
        assert "80.0 tok/s" in at.row("suffix")
        assert "40.0 tok/s" in at.row("plain")
        assert "tok/s" not in at.row("ngram")
        assert "included · 92.1 MiB" in at.row("SmolLM2-135M-Instruct.Q4_1")
        await at.choose("suffix")
        assert "80.0 tok/s · accepted 25 % · 2.00× plain" in at.pane("choice")
        await at.choose("ngram")
        assert "Not measured here: /compare" in at.pane("choice")
        assert "model     Script" in at.pane("now")
        assert "/quantize int8" in at.pane("advice")


async def test_enter_runs_the_line_in_the_chat(tmp_path: Path) -> None:
    async with opened(tmp_path) as at:
        await at.choose("int8")
        await at.pilot.press("enter")
        await at.pilot.pause()
        assert at.app.chat.spec.quantize == "int8"
        assert isinstance(at.app.screen, ChatScreen)


async def test_enter_on_what_cannot_run_says_why_and_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as at:
        before = at.app.chat.spec
        cannot = [each[2:].split("  ")[0] for each in at.rows if each.startswith("×")]
        await at.choose(cannot[0])
        await at.pilot.press("enter")
        await at.pilot.pause()
        assert at.screen
        assert at.app.chat.spec == before


async def test_an_address_is_taken_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as at:
        await at.pilot.press("a", *"gpu1", "enter")
        await at.pilot.pause()
        assert at.screen.query_one(Input).value == "gpu1"
        at.screen.query_one(Input).value = "http://127.0.0.1:9"
        await at.pilot.press("enter")
        await at.pilot.pause()
        assert isinstance(at.app.screen, ChatScreen)
        await at.app.screen.at_rest()
        assert at.app.chat.spec.url == "http://127.0.0.1:9"


async def test_a_change_made_meanwhile_is_seen(tmp_path: Path) -> None:
    async with opened(tmp_path) as at:
        at.app.chat.set("quantize", "int4")
        at.screen._look()
        for _ in range(300):
            if at.row("int4").startswith("○"):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(at.rows)


async def test_esc_goes_back_and_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as at:
        before = at.app.chat.spec
        await at.pilot.press("down", "escape")
        await at.pilot.pause()
        assert isinstance(at.app.screen, ChatScreen)
        assert at.app.chat.spec == before


async def test_before_anything_is_known_it_says_that_it_looks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(EnginesScreen, "_learn", lambda _: None)
    app = TokenhudApp(chat_with(ScriptedEngine(), tmp_path / "sessions"))
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app.screen, ChatScreen)
        app.screen.open_screen("engines")
        await pilot.pause()
        rows = Table(app, pilot).rows
        assert rows[0] == "Looking …"
        assert any("suffix" in each for each in rows)
