"""Every screen as a picture, at three sizes, in dark, light and without colours: a fixed script on
the virtual clock, on a machine that is nobody's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.pictured import AROUND, Talker, furnish, talk
from tokenhud.sessions.config import Preferences
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.chat.screen import ChatScreen
from tokenhud.tui.screens import engines, result_view
from tokenhud.tui.screens.race import RaceScreen
from tokenhud.tui.screens.results_table import ResultsTable
from tokenhud.tui.screens.session_table import SessionTable

TALK = ("Hello.", "How does it work?", "/suffix", "And step by step?")
THEMES = {"dark": "textual-dark", "light": "textual-light", "no_colour": "textual-dark"}
Arrange = Callable[[Pilot[None]], Awaitable[None]]
Kind = TypeVar("Kind")


class Compare(Protocol):
    def __call__(self, app: TokenhudApp, **options: object) -> bool: ...


# what is pictured


async def chat(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK)


async def completion(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK[:2])
    await pilot.press("slash", "t")


async def refused(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK[:2], "/length six")


async def hud(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK)
    await pilot.press("tab", "down", "down", "down")


async def race_running(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK[:2])
    talker = engine(pilot)
    talker.hold = len(talker.requests) + 8  # the third round of suffix
    await type_line(pilot, "/race plain, suffix runs=3")
    await until(pilot, lambda: len(talker.requests) == talker.hold and "2 rounds" in told(pilot))
    screen_of(pilot, RaceScreen).paint()


async def race_verdict(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK[:2])
    await type_line(pilot, "/race plain, suffix runs=3")
    await until(pilot, lambda: "3 rounds" in told(pilot))
    await app_of(pilot).chat_screen.at_rest()
    engine(pilot).pass_time(60)
    screen_of(pilot, RaceScreen).paint()


async def turns(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK)
    await pilot.press("f3")


async def sessions(pilot: Pilot[None]) -> None:
    await ask(pilot)
    await pilot.press("f4")
    table = pilot.app.screen.query_one(SessionTable)
    await until(pilot, lambda: table.row_count and not table.unread() and told(pilot, "#begun"))


async def results(pilot: Pilot[None]) -> None:
    await ask(pilot)
    await pilot.press("f5")
    table = pilot.app.screen.query_one(ResultsTable)
    await until(pilot, lambda: table.row_count and not table.unread() and told(pilot, "#text"))


async def engine_picker(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK)
    await pilot.press("f6")
    await until(pilot, lambda: "Looking" not in told(pilot, "#advice"))


async def settings(pilot: Pilot[None]) -> None:
    await ask(pilot, "/temperature 0.7", "/suffix")
    await pilot.press("f7", "down", "down")


async def help_screen(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK, "/help suffix")
    await until(pilot, lambda: "On this machine" in told(pilot, "#page"))


async def palette(pilot: Pilot[None]) -> None:
    await ask(pilot, *TALK[:2])
    await pilot.press("ctrl+p")
    await until(pilot, lambda: pilot.app.screen.query_one(CommandList).option_count > 40)
    await pilot.app.workers.wait_for_complete()


SCREENS: tuple[Arrange, ...] = (
    *(chat, completion, refused, hud, race_running, race_verdict, turns),
    *(sessions, results, engine_picker, settings, help_screen, palette),
)


@pytest.mark.parametrize("look", THEMES)
@pytest.mark.parametrize("size", [(80, 24), (100, 30), (140, 45)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("arrange", SCREENS, ids=lambda each: each.__name__)
def test_screen(
    arrange: Arrange,
    size: tuple[int, int],
    look: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Compare,
) -> None:
    if look == "no_colour":
        monkeypatch.setenv("NO_COLOR", "1")
    chatting = talk(home)
    assert isinstance(chatting.engine, Talker)
    app = TokenhudApp(chatting, chatting.engine.now, Preferences(theme=THEMES[look]))

    async def run(pilot: Pilot[None]) -> None:
        await arrange(pilot)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=run)


# the same everywhere


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder)
    return folder


@pytest.fixture
def home(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "home"
    shutil.copytree(furnished, path)
    monkeypatch.setenv("TOKENHUD_HOME", str(path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engines, "around", lambda _: AROUND)
    monkeypatch.setattr(result_view, "_encoding", lambda: "utf-8")
    for blinks in (Input.cursor_blink, TextArea.cursor_blink):
        monkeypatch.setattr(blinks, "_default", False)
    yield path
    monkeypatch.undo()
    time.tzset()


# what a person does


async def ask(pilot: Pilot[None], *lines: str) -> None:
    """Sends each once the one before is answered."""
    screen = screen_of(pilot, ChatScreen)
    await pilot.pause()
    await screen.at_rest()
    for line in lines:
        await type_line(pilot, line)
        await screen.at_rest()
    await pilot.pause()


async def type_line(pilot: Pilot[None], line: str) -> None:
    screen_of(pilot, ChatScreen).prompt.insert(line)
    await pilot.press("enter")
    await pilot.pause()


async def until(pilot: Pilot[None], seen: Callable[[], object]) -> None:
    for _ in range(500):
        if seen():
            return
        await pilot.pause(0.02)
    raise AssertionError(pilot.app.screen)


def told(pilot: Pilot[None], of: str = "#verdict") -> str:
    return str(pilot.app.screen.query_one(of, Static).content)


def engine(pilot: Pilot[None]) -> Talker:
    found = app_of(pilot).chat.engine
    assert isinstance(found, Talker)
    return found


def app_of(pilot: Pilot[None]) -> TokenhudApp:
    assert isinstance(pilot.app, TokenhudApp)
    return pilot.app


def screen_of(pilot: Pilot[None], kind: type[Kind]) -> Kind:
    assert isinstance(pilot.app.screen, kind)
    return pilot.app.screen
