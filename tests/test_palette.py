"""The command palette: every command can be found, and chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.command import CommandInput, CommandList, CommandPalette

from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands.help import COMMAND_KEYS
from tokenhud.tui.commands.table import COMMANDS
from tokenhud.tui.palette import Palette
from tokenhud.tui.screens.help import HelpScreen

from .fakes import ScriptedEngine, chat_with


class Open:
    """A chat with the palette over it."""

    def __init__(self, app, pilot):
        self.app, self.pilot, self.chat = app, pilot, app.screen_stack[0]

    @property
    def rows(self):
        return [each.prompt.plain for each in self.app.screen.query_one(CommandList).options]

    async def find(self, typed):
        await self.pilot.press("ctrl+p")
        await self.pilot.pause()
        self.app.screen.query_one(CommandInput).value = typed
        await self.settled()

    async def settled(self):
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def choose(self, typed):
        await self.find(typed)
        await self.pilot.press("enter")
        for _ in range(5):
            await self.pilot.pause()


@pytest.fixture
async def at(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    engine = ScriptedEngine()
    app = TokenhudApp(chat_with(engine, Path(tmp_path) / "sessions"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await app.screen.at_rest()
        yield Open(app, pilot)
        engine.close()


async def test_every_command_is_listed_with_its_value_and_key(at):
    await at.find("")
    told = "\n".join(at.rows)
    for each in COMMANDS:
        assert each.usage in told
        assert each.summary in told
    assert "/length [N]  now 512" in told
    assert f"/help [COMMAND]  {COMMAND_KEYS['help']}" in told


@pytest.mark.parametrize(
    ("typed", "first"),
    [("sp", "/speculative"), ("/tem", "/temperature"), ("colours", "/theme"), ("plain", "/autor")],
)
async def test_it_finds_by_name_and_by_what_a_command_does(at, typed, first):
    await at.find(typed)
    assert at.rows[0].startswith(first)


async def test_choosing_runs_what_needs_no_more(at):
    await at.choose("suffix")
    assert at.app.screen is at.chat
    assert at.app.chat.spec.drafter == "suffix"
    assert at.chat.prompt.text == ""


async def test_choosing_begins_what_must_be_told_more(at):
    await at.choose("sweep")
    assert at.chat.prompt.text == "/sweep "
    assert at.chat.prompt.has_focus


async def test_choosing_opens_a_screen(at):
    await at.choose("help")
    assert isinstance(at.app.screen, HelpScreen)


async def test_over_a_screen_the_chosen_one_closes_it_first(at):
    at.chat.open_screen("help")
    await at.pilot.pause()
    await at.choose("suffix")
    assert at.app.screen is at.chat
    assert at.app.chat.spec.drafter == "suffix"


async def test_escape_changes_nothing(at):
    at.chat.prompt.insert("half a question")
    await at.find("clear")
    assert isinstance(at.app.screen, CommandPalette)
    await at.pilot.press("escape")
    await at.pilot.pause()
    assert at.app.screen is at.chat
    assert at.chat.prompt.text == "half a question"


async def test_what_is_refused_stands_in_the_input(at):
    await at.choose("retry")
    assert at.chat.prompt.text == "/retry"
    assert "no message to answer again" in str(at.chat.query_one("#hint").render())


async def test_over_a_box_the_box_and_its_screen_close_first(at):
    at.chat.open_screen("settings")
    await at.pilot.pause()
    await at.pilot.press("p", "end", "enter")  # a name is asked for, in a box over a box
    before = at.app.chat.spec
    await at.choose("help")
    kinds = [type(each) for each in at.app.screen_stack]
    assert kinds == [type(at.chat), HelpScreen]
    await at.pilot.press("escape")
    await at.pilot.pause()
    assert at.app.screen is at.chat
    assert at.app.chat.spec == before


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24)])
async def test_the_words_and_the_list_are_in_sight_and_ctrl_c_closes_it(at, size):
    await at.pilot.resize_terminal(*size)
    at.app.push_screen(Palette(id="--command-palette"))
    await at.pilot.pause()
    await at.settled()
    screen = at.app.screen
    for kind in (CommandInput, CommandList):
        row = screen.query_one(kind).content_region
        assert row.height > 0
        assert row.y < size[1]
    await at.pilot.press("ctrl+c")
    await at.pilot.pause()
    assert at.app.screen is at.chat
