"""/help: in text, and as a screen with what was measured here."""

from __future__ import annotations

import pytest
from textual.widgets import Input, OptionList, Static
from textual.widgets._footer import FooterKey

from tokenhud.engines.options import Spec
from tokenhud.sessions.own_figures import CHOSEN, HOW, figure_lines, measured_here
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands.help import COMMAND_KEYS, GROUPS, KEYS, grouped
from tokenhud.tui.commands.table import COMMANDS, parse, run
from tokenhud.tui.screens.help import PAGES, HelpScreen

from .fakes import Beat, ScriptedEngine, chat_with, words

NAMES = {each.name for each in COMMANDS}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def chat(home):
    """Whose plain answers come at 40 tok/s, and the others at 80 with half of the drafts kept."""
    plain, drafting = words("one two three four"), [Beat(("a", " b"), 2, 1)] * 4
    engine = ScriptedEngine(plain, plain, drafting, drafting)
    chat = chat_with(engine, home / "sessions")
    list(chat.load())
    yield chat
    chat.close()


def typed(chat, line):
    return run(chat, parse(line))


def test_help_tells_every_command_key_and_first_step(chat):
    reply = typed(chat, "/help")
    for command in COMMANDS:
        assert command.usage in reply.text
        assert typed(chat, f"/help {command.name}").text.startswith(command.usage)
    for keys, what in KEYS:
        assert keys in reply.text
        assert what in reply.text
    assert reply.action == "show:help:"


def test_help_of_one_command_tells_grammar_value_and_key(chat):
    assert typed(chat, "/help temperature").text == (
        "/temperature [X]\n0 is greedy, more is freer.\n  [X]: a number from 0 to 100\n"
        "Example: /temperature 0.7\nNow: 0.0"
    )
    assert "Also: /target, /plain" in typed(chat, "/help /target").text
    assert f"Key: {COMMAND_KEYS['copy']}" in typed(chat, "/help copy").text


@pytest.mark.parametrize("line", ["/help me write", "/help lenght"])
def test_help_of_what_is_no_command_is_refused(chat, line):
    reply = typed(chat, line)
    assert (reply.ok, reply.action) == (False, None)
    assert ("Did you mean /help length?" in reply.text) == ("lenght" in line)


def test_groups_hold_every_command_once():
    groups = grouped(COMMANDS)
    assert [each for _, commands in groups for each in commands] == list(COMMANDS)
    assert [title for title, _ in groups] == list(GROUPS.values())


def test_keys_and_figures_are_of_commands_that_exist():
    assert COMMAND_KEYS.keys() <= NAMES
    assert HOW.keys() <= CHOSEN.keys() <= NAMES
    for line in HOW.values():
        assert parse(line).command.name in NAMES


# this machine's own figures


def lines(chat, name):
    records = chat.log.records
    return figure_lines(name, measured_here(records), chat.spec, records)


def test_what_was_not_measured_says_how_to(chat):
    assert lines(chat, "suffix") == ["Not measured here; /race plain, suffix measures it."]
    assert lines(chat, "quantize") == ["Not measured here; /compare measures it."]
    assert lines(chat, "save") == lines(chat, "theme") == []


def test_what_this_chat_measured_is_told_with_its_number_of_answers(chat):
    for drafter in ("plain", "plain", "suffix", "suffix"):
        chat.set("drafter", drafter)
        list(chat.ask("again"))
    assert lines(chat, "suffix") == [
        "suffix γ auto · native float32: 80.0 tok/s · accepted 50 % · 2.00× plain"
        " (2 answers in this chat)"
    ]
    (plain,) = lines(chat, "autoregressive")  # the first of the two was cold
    assert plain == "plain · native float32: 40.0 tok/s (1 answer in this chat)"
    told = list(typed(chat, "/help suffix").job())
    assert told == lines(chat, "suffix")


def test_each_choice_of_a_setting_has_its_line(chat):
    list(chat.ask("cold"))
    for gamma in (2, 6):
        for name, value in (("drafter", "suffix"), ("gamma", gamma), ("gamma_policy", "fixed")):
            chat.set(name, value)
        list(chat.ask("again"))
    assert [each.split(" · ")[0] for each in lines(chat, "gamma")] == ["suffix γ 2", "suffix γ 6"]


def test_what_a_server_does_is_not_this_machine_s():
    assert figure_lines("suffix", [], Spec(url="http://localhost:1"), []) == []


# the screen


class At:
    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    @property
    def page(self):
        shown = self.app.screen.query_one("#page", Static).content
        return (
            "\n".join(map(str, shown.columns[1].cells)) if hasattr(shown, "columns") else str(shown)
        )

    @property
    def rows(self):
        return [str(each.prompt) for each in self.app.screen.query_one(OptionList).options]

    async def keys(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def read(self):
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()


@pytest.fixture
async def at(home):
    engine = ScriptedEngine()
    app = TokenhudApp(chat_with(engine, home / "sessions"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await app.screen.at_rest()
        yield At(app, pilot)
        engine.close()


async def test_f1_opens_with_the_first_steps_and_all_commands(at):
    await at.keys("f1")
    assert isinstance(at.app.screen, HelpScreen)
    assert all(step in at.page for _, step in PAGES["First steps"])
    told = "\n".join(at.rows)
    assert all(f"/{name}" in told for name in NAMES)
    await at.keys("down")
    assert "twice quits" in at.page
    await at.keys("down", "down")
    assert at.page.startswith("/autoregressive")
    await at.keys("escape")
    assert not isinstance(at.app.screen, HelpScreen)


async def test_typing_narrows_the_list_and_enter_begins_the_example(at):
    await at.keys("f1", *"leng")
    assert at.rows[0] == "/length  512"
    assert 1 < len(at.rows) < len(NAMES)
    assert at.page.startswith("/length [N]")
    await at.keys("enter")
    chat = at.app.screen
    assert chat.prompt.text == "/length 100 "
    await at.keys("enter")
    assert at.app.chat.sampling.length == 100


async def test_help_of_a_name_opens_there_with_its_figures(at):
    at.app.screen.run_line("/help suffix")
    await at.pilot.pause()
    await at.read()
    assert at.page.startswith("/suffix")
    assert "Not measured here" in at.page


async def test_words_that_nothing_has_leave_an_empty_list(at):
    await at.keys("f1")
    at.app.screen.query_one(Input).value = "[b]xyzzy"
    await at.pilot.pause()
    assert at.rows == []
    assert "Nothing" in at.page
    await at.keys("up", "down", "pagedown", "enter")
    assert isinstance(at.app.screen, HelpScreen)


async def test_it_works_in_any_window(at):
    await at.keys("f1")
    for width, height in [(20, 5), (59, 12), (60, 12), (140, 45), (1, 1), (80, 24)]:
        await at.pilot.resize_terminal(width, height)
        await at.keys("down")
    assert at.page.startswith("/")


async def test_a_narrow_foot_has_the_way_back(chat):
    app = TokenhudApp(chat)
    async with app.run_test(size=(40, 24)) as pilot:
        await pilot.pause()
        app.screen.open_screen("help")
        await pilot.pause()
        keys = [each.region for each in app.screen.query(FooterKey) if each.key == "escape"]
        assert [(each.x, each.right <= 40) for each in keys] == [(0, True)]
