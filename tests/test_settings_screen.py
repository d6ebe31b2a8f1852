"""The settings screen through its keys, and the lines that its rows stand for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import field, fields, make_dataclass, replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tests.fakes import ScriptedEngine, chat_with
from tokenhud.engines.options import Sampling, Spec, number
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.config import SETTINGS, Preferences, read_config
from tokenhud.sessions.log import Log
from tokenhud.sessions.profiles import BUILT_IN
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands import table as commands
from tokenhud.tui.commands.grammar import Call, Reply, parse
from tokenhud.tui.commands.settings import line, shown
from tokenhud.tui.opening import Desk
from tokenhud.tui.screens import settings_rows
from tokenhud.tui.screens.settings import SettingsScreen
from tokenhud.tui.screens.settings_rows import Row, matching, problem, rows

TYPED = {  # a value of each kind that is typed
    "model": "other.gguf",
    "url": "http://gpu1:8000",
    "draft_model": "small",
    "system": "Brief.",
}


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def fresh() -> Chat:
    return Chat(ScriptedEngine(), Log.in_memory(header(Spec(), Sampling())), Spec(), Sampling())


def run_line(chat: Chat, typed: str) -> Reply:
    call = parse(typed, commands.COMMANDS)
    assert isinstance(call, Call), call
    return commands.run(chat, call)


def another(row: Row) -> str:
    """A value that differs from the one now; of a switch, off, which every machine can."""
    if row.names:
        return next(each for each in reversed(row.names) if each != row.now)
    return TYPED.get(row.name) or ("0.5" if "." in row.now else "16")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_changed_and_reset_by_a_line_that_can_be_typed(name: str):
    chat = fresh()
    (row,) = [each for each in rows(chat) if each.name == name]
    for value in (another(row), row.usual):
        reply = run_line(chat, line(chat, name, value))
        assert reply.ok, reply
        list(reply.job() if reply.job else ())
        assert shown(chat, name) == value


def test_every_preference_is_set_by_a_line():
    chat = fresh()
    for row in rows(chat, Preferences()):
        if row.group == settings_rows.SCREEN:
            value = another(row)
            reply = run_line(chat, line(chat, row.name, value))
            assert reply.action == f"prefer:{row.name}={value}"


def test_there_is_a_row_for_every_field_and_a_new_option_appears_by_itself(monkeypatch):
    chat = fresh()
    found = rows(chat, Preferences())
    assert {each.name for each in found} == {
        *SETTINGS,
        *(each.name for each in fields(Preferences)),
    }
    known = [
        (each.name, each.type, field(default=each.default, metadata=each.metadata))
        for each in fields(Sampling)
    ]
    novelty = ("novelty", "int", number(1, 0, 9, "how new it is"))
    later = make_dataclass("Later", [*known, novelty], frozen=True)
    monkeypatch.setattr(settings_rows, "Sampling", later)
    chat._told.sampling = later()
    (row,) = [each for each in rows(chat) if each.name == "novelty"]
    assert (row.now, row.takes, row.about) == ("1", "a whole number from 0 to 9", "how new it is")


def test_rows_stand_in_groups_and_what_differs_is_marked():
    chat = fresh()
    chat.set("threads", 2)
    found = rows(chat, Preferences(hud="bar"))
    groups = list(dict.fromkeys(each.group for each in found))
    assert groups == ["What runs", "How it picks", "Drafting", "Screen"]
    order = [groups.index(each.group) for each in found]
    assert order == sorted(order), "a group is in one piece"
    assert [each.name for each in found if each.changed] == ["threads", "hud"]


def test_the_filter_looks_in_name_group_and_sentence():
    found = rows(fresh(), Preferences())
    assert [each.name for each in matching(found, "top_k_")] == ["top_k_filler"]
    assert "gamma" in [each.name for each in matching(found, "DRAFT step")]
    assert matching(found, "nothing at all of this") == []
    assert matching(found, " ") == found


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("length", "0", "It takes a whole number from 1 to 10000000, not '0'."),
        ("length", "9" * 5000, "It takes a whole number"),
        ("temperature", "warm", "It takes a number from 0 to 100, not 'warm'."),
        ("seed", "random", ""),
        ("url", "gpu1:8000", "url is http:// or https://"),
        ("url", "local", ""),
        ("model", "x", ""),
        ("length", "", ""),
        ("system", "anything", ""),
    ],
)
def test_a_value_is_judged_by_the_option_s_own_rule(name: str, text: str, told: str):
    (row,) = [each for each in rows(fresh()) if each.name == name]
    assert problem(row, text).startswith(told)
    assert bool(problem(row, text)) == bool(told)


# the screen


class Table:
    def __init__(self, app: TokenhudApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot, self.chat = app, pilot, app.chat

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)

    async def to(self, name: str) -> None:
        """The row of this name, by the filter."""
        await self.press("slash")
        self.screen.query_one(Input).value = name
        await self.press("enter")
        self.list.highlighted = self.list.get_option_index(name)
        await self.pilot.pause()

    @property
    def screen(self) -> SettingsScreen:
        assert isinstance(self.app.screen, SettingsScreen), self.app.screen
        return self.app.screen

    @property
    def list(self) -> OptionList:
        return self.screen.query_one("#rows", OptionList)

    @property
    def row(self) -> str | None:
        option = self.list.highlighted_option
        return option.id if option else None

    @property
    def told(self) -> str:
        return str(self.screen.query_one("#about", Static).render())

    @property
    def shown(self) -> str:
        options = [self.list.get_option_at_index(n) for n in range(self.list.option_count)]
        return "\n".join(str(each.prompt) for each in options)


@asynccontextmanager
async def table(folder: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Table]:
    app = TokenhudApp(chat_with(ScriptedEngine(), folder))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await app.screen.at_rest()  # type: ignore[attr-defined]
        app.screen.open_screen("settings")  # type: ignore[attr-defined]
        await pilot.pause()
        yield Table(app, pilot)


async def test_a_number_is_typed_and_refused_until_it_is_right(tmp_path: Path):
    async with table(tmp_path) as at:
        await at.to("length")
        assert "most tokens of an answer" in at.told
        assert "from the next answer" in at.told
        await at.press("enter")
        at.app.screen.query_one(Input).value = "0"
        await at.press("enter")
        sentence = str(at.app.screen.query_one("#problem", Static).render())
        assert sentence == "It takes a whole number from 1 to 10000000, not '0'."
        at.app.screen.query_one(Input).value = "99"
        await at.press("enter")
        assert at.chat.sampling.length == 99
        assert "length 512 → 99, from the next answer." in at.told
        assert "* length" in at.shown
        await at.press("r")
        assert at.chat.sampling.length == 512
        assert "* length" not in at.shown
        await at.press("escape", "escape")
        at.app.screen.paint()  # type: ignore[attr-defined]
        text = at.app.screen.transcript.text()  # type: ignore[attr-defined]
        assert "length 99 → 512, from the next answer." in text, "it stands in the chat"


async def test_a_word_is_chosen_from_a_list_and_a_preference_holds_at_once(tmp_path: Path):
    async with table(tmp_path) as at:
        await at.to("quantize")
        await at.press("enter")
        choices = at.app.screen.query_one(OptionList)
        assert choices.highlighted == 0, "what is set now"
        await at.press("down", "down", "enter")
        assert at.chat.spec.quantize == "int8"
        await at.press("enter", "escape")
        assert at.chat.spec.quantize == "int8"
        await at.to("theme")
        assert "at once" in at.told
        await at.press("enter", "down", "enter")
        assert at.app.theme == at.app.preferences.theme == "textual-light"


async def test_all_of_it_is_saved_and_profiles_are_kept(tmp_path: Path, path: Path):
    async with table(tmp_path) as at:
        at.chat.set("length", 7)
        await at.press("s")
        assert read_config(path).settings == {"length": 7}
        await at.press("p", "end", "enter", *"mine", "enter")
        assert read_config(path).profiles == {"mine": {"length": 7}}
        await at.press("p", "down", "up", "enter")
        assert at.chat.spec.quantize == BUILT_IN["speed"]["quantize"]
        await at.press("p", "end", "up", "d")
        assert read_config(path).profiles == {}
        assert "Profile mine is deleted" in at.told


async def test_a_name_that_no_profile_can_have_is_refused_in_place(tmp_path: Path, path: Path):
    async with table(tmp_path) as at:
        at.chat.set("length", 7)
        await at.press("p", "end", "enter", *"save", "enter")
        assert "word of /profile" in str(at.app.screen.query_one("#problem", Static).render())
        await at.press("escape", "escape")
        assert not path.exists()
        assert at.screen


async def test_escape_leaves_the_filter_first(tmp_path: Path):
    async with table(tmp_path) as at:
        await at.press("slash", *"seed", "enter")
        assert at.row == "seed"
        await at.press("escape")
        assert "length" in at.shown
        assert at.row == "seed", "the row that was found stays chosen"
        await at.press("escape")
        assert not isinstance(at.app.screen, SettingsScreen)


async def test_letters_after_the_slash_do_nothing_but_filter(tmp_path: Path, path: Path):
    async with table(tmp_path) as at:
        await at.press("slash", *"/srp")
        assert at.screen.query_one(Input).value == "/srp"
        assert at.shown == ""
        await at.press("enter", "enter", "r")
        assert not path.exists()
        assert at.chat.spec == Spec()


async def test_what_cannot_be_set_there_is_told_with_its_reason(tmp_path: Path):
    async with table(tmp_path) as at:
        at.chat.set("system", "One.\nTwo.")
        await at.to("system")
        await at.press("enter")
        assert "several lines" in at.told
        assert at.chat.system == "One.\nTwo."
        at.chat.set("url", "http://127.0.0.1:9")
        await at.to("quantize")
        await at.press("enter", "down", "enter")
        assert "decides what /quantize sets when it starts" in at.told
        assert at.chat.spec.quantize == "none"


async def test_what_comes_from_elsewhere_is_shown_as_text_and_nothing_moves(
    tmp_path: Path, path: Path
):
    path.write_text("hud = 3\n")
    async with table(tmp_path, (100, 30)) as at:
        assert "hud is one of auto" in at.told
        await at.press(*["down"] * 4)
        before = at.row
        at.chat.set("threads", 3)
        at.chat.set("model", "[red]\x1b[31m日本語" * 9)
        at.screen._show()
        await at.pilot.pause()
        assert "* threads" in at.shown
        assert "[red]" in at.shown
        assert "\x1b" not in at.shown
        assert at.row == before


async def test_any_size_will_do(tmp_path: Path):
    async with table(tmp_path) as at:
        await at.press("enter")
        for size in ((20, 5), (1, 1), (140, 45)):
            await at.pilot.resize_terminal(*size)
        await at.press("escape", "p")
        for size in ((1, 1), (20, 5)):
            await at.pilot.resize_terminal(*size)
        await at.press("escape", "down")
        assert at.row == "url"


def test_the_screen_asks_for_nothing_but_lines(tmp_path: Path):
    lines: list[str] = []

    def run(typed: str) -> Reply:
        lines.append(typed)
        return Reply("done")

    screen = SettingsScreen(Desk(chat_with(ScriptedEngine(), tmp_path), run, lambda: 0))
    assert replace(screen.desk, run=run).run("/settings save").text == "done"
    assert lines == ["/settings save"]


async def test_a_value_from_a_log_reaches_no_terminal_as_a_control_sequence(tmp_path: Path):
    async with table(tmp_path) as at:
        model = "evil\x1b]0;owned\x07"
        at.chat.set("model", model)
        at.screen._show()
        await at.to("model")
        await at.press("enter")
        assert at.app.screen.query_one(Input).value == "evil\ufffd]0;owned\ufffd"
        await at.press("enter")
        assert at.chat.spec.model == model, "what was not typed over stays as it is"


async def test_ctrl_c_leaves_a_box_and_the_clipboard(tmp_path: Path):
    async with table(tmp_path) as at:
        at.app._clipboard = "kept"
        for key in ("enter", "p"):
            await at.to("length")
            await at.press(key, "ctrl+c")
            assert at.screen
        assert at.app.clipboard == "kept"
        assert at.chat.sampling.length == 512


async def test_a_low_window_shows_what_a_key_did(tmp_path: Path, path: Path):
    async with table(tmp_path, (40, 12)) as at:
        at.chat.set("length", 7)
        await at.press("s")
        title = at.screen.query_one("#title", Static)
        assert "Chats begin with length 7" in str(title.render())
        assert title.size.height > 1, "it wraps"
        await at.pilot.resize_terminal(40, 30)
        assert str(title.render()) == "Settings"
        assert path.name in at.told


async def test_the_end_of_a_long_path_is_in_sight(tmp_path: Path, monkeypatch):
    path = tmp_path / ("long" * 20) / "config.toml"
    path.parent.mkdir()
    monkeypatch.setenv("TOKENHUD_CONFIG", str(path))
    async with table(tmp_path) as at:
        await at.press("s")
        await at.pilot.pause()
        about = at.screen.query_one("#about", Static)
        shown = "".join(strip.text.strip() for strip in about.render_lines(about.outer_size.region))
        assert shown.endswith("config.toml.")


async def test_in_the_lowest_window_the_row_of_a_box_is_in_sight(tmp_path: Path):
    async with table(tmp_path, (20, 5)) as at:
        await at.to("length")
        for key, kind in (("enter", Input), ("p", OptionList)):
            await at.press(key)
            await at.pilot.pause()
            row = at.app.screen.query_one(kind).content_region
            assert row.height > 0
            assert row.bottom <= 5
            await at.press("escape")
