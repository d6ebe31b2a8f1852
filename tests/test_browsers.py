"""The browsers of saved sessions and of kept results, through their keys."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from tests.fakes import Beat
from tests.saved import save, turn
from tests.test_places import forbid
from tests.test_tui_flow import HELD, Table, table
from tokenhud.sessions import library
from tokenhud.sessions.library import Glance
from tokenhud.sessions.places import Session
from tokenhud.tui.screens import session_search
from tokenhud.tui.screens.results import ResultsScreen
from tokenhud.tui.screens.session_table import NEAR, PAGE
from tokenhud.tui.screens.sessions import SessionsScreen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    monkeypatch.setattr(session_search, "PAUSE", 60.0)  # Enter begins a search, and no pause
    return tmp_path


class Browser:
    """A screen over the chat, and what a test asks of it."""

    def __init__(self, at: Table, screen: Screen[str | None]) -> None:
        self.at, self.pilot, self.screen = at, at.pilot, screen

    @property
    def table(self) -> DataTable[object]:
        return self.screen.query_one(DataTable)

    @property
    def names(self) -> list[str]:
        return [self.cell(row, "name") for row in range(self.table.row_count)]

    def cell(self, row: int, column: str) -> str:
        key = self.table.ordered_rows[row].key
        return str(self.table.get_cell(key, column))

    def shown(self, of: str) -> str:
        """What the Static of that name, or all those in it, say."""
        found = [*self.screen.query(f"#{of}").results(Static)]
        found = found or [*self.screen.query(f"#{of} Static").results(Static)]
        return "\n".join(str(each.render()) for each in found if each.display)

    @property
    def keys(self) -> set[str]:
        """What stands at the foot."""
        active = self.screen.active_bindings.values()
        return {each.binding.description for each in active if each.binding.show and each.enabled}

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        field = self.screen.focused
        assert isinstance(field, Input)
        field.value = text
        await self.pilot.pause()

    async def until(self, seen: Callable[[], object]) -> None:
        for _ in range(1000):
            if seen():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.names} · {self.shown('said')} · {self.shown('preview')}")


@asynccontextmanager
async def browser(
    home: Path, key: str, *scripts: list[Beat], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Browser]:
    async with table(home / "sessions", *scripts, size=size) as at:
        await at.pilot.press(key)
        await at.pilot.pause()
        found = Browser(at, at.app.screen)  # type: ignore[arg-type]
        assert isinstance(found.screen, SessionsScreen | ResultsScreen)
        yield found


def saved(home: Path, name: str, text: str = "Hi", age: int = 0) -> Path:
    path = save(home / "sessions", name, turn(1, text, ["a"]), turn(2, "Why?", ["b"] * 5))
    os.utime(path, (10_000 - age, 10_000 - age))
    return path


# sessions


async def test_sessions_are_listed_newest_first_and_the_one_at_the_cursor_is_shown(
    home: Path,
) -> None:
    saved(home, "new", "What is [b]list[int][/b]?\x1b[2J")
    saved(home, "old", age=5)
    (home / "sessions" / "zip.jsonl").write_bytes(b"\x1f\x8b")
    os.utime(home / "sessions" / "zip.jsonl", (1, 1))
    async with browser(home, "f4", size=(140, 45)) as at:
        await at.until(lambda: at.names == ["new", "old", "zip"] and at.cell(2, "methods"))
        assert (at.cell(0, "turns"), at.cell(0, "rate")) == ("2", "40.0")
        assert "gzip" in at.cell(2, "methods")
        await at.until(lambda: "What is [b]list[int][/b]?" in at.shown("preview"))
        assert "\x1b" not in at.shown("preview")
        await at.press("down")
        await at.until(lambda: at.shown("preview").startswith("old"))
        await at.press("escape")
        assert at.at.screen


async def test_enter_goes_on_with_a_session_but_not_with_the_open_one(home: Path) -> None:
    async with table(home / "sessions") as chat:
        await chat.type("hello")
        await chat.rest()
        path = saved(home, "other", age=-(10**10))
        await chat.type("/sessions")
        at = Browser(chat, chat.app.screen)  # type: ignore[arg-type]
        await at.until(lambda: len(at.names) == 2)
        assert at.names[1].startswith("▸ ")
        await at.press("down", "enter")
        assert "That is this session" in at.shown("said")
        await at.press("d")
        assert "/load another one first" in at.shown("said")
        await at.press("up", "enter")
        assert chat.chat.log.path == path
        assert "jsonl: 2 turns." in chat.shown.replace("\n   ", "")


async def test_a_name_filters_at_once_and_enter_searches_messages(home: Path) -> None:
    saved(home, "sky notes", age=1)
    saved(home, "b", "Why is the sky blue?", age=2)
    saved(home, "c", age=3)
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 3)
        await at.press("slash")
        await at.type("SKY")
        assert at.names == ["sky notes"]
        await at.press("enter")
        await at.until(lambda: "1 hit" in at.shown("said"))
        assert at.names == ["sky notes", "b"]
        assert "the sky blue?" in at.cell(1, "found")
        await at.press("down")
        await at.until(lambda: at.shown("found").startswith("turn 1 · you: Why is the sky"))
        await at.press("escape")
        assert len(at.names) == 3
        assert isinstance(at.at.app.screen, SessionsScreen)


async def test_a_search_begins_after_a_pause_and_ends_with_its_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "PAUSE", 0.01)
    saved(home, "a", "blue sky")
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 1)
        await at.press("slash")
        await at.type("blue")
        await at.until(lambda: at.names == ["a"] and at.cell(0, "found"))
        await at.type("green")
        await at.until(lambda: "0 hits" in at.shown("said"))
        assert at.names == []
        assert "No name has these words" in at.shown("preview")


async def test_a_session_is_renamed_in_place_and_a_taken_name_is_told(home: Path) -> None:
    saved(home, "one two")
    saved(home, "b", age=1)
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 2)
        await at.press("r")
        assert at.screen.focused.value == "one two"  # type: ignore[union-attr]
        await at.type("../x")
        await at.press("enter")
        assert "cannot be a session's name" in at.shown("said")
        await at.type("b")
        await at.press("enter")
        assert "one two is now b-2; b is the name of another." in at.shown("said")
        await at.until(lambda: at.names == ["b-2", "b"])
        await at.press("r", "escape", "escape")
        assert at.at.screen


async def test_what_is_deleted_is_taken_back_under_whatever_name(home: Path) -> None:
    saved(home, "x")
    library.delete("x", home / "sessions")
    kept = saved(home, "x", "second").read_bytes()
    async with browser(home, "f4") as at:
        await at.until(lambda: at.names == ["x"])
        await at.press("d")
        await at.until(lambda: at.names == [])
        assert "No session is saved" in at.shown("preview")
        await at.press("u")
        await at.until(lambda: len(at.names) == 1)
        assert (home / "sessions" / "x-2.jsonl").read_bytes() == kept


async def test_for_ever_is_asked_twice_and_means_the_deleted_one(home: Path) -> None:
    saved(home, "x", "deleted")
    library.delete("x", home / "sessions")
    saved(home, "x", "alive")
    async with browser(home, "f4") as at:
        await at.press("x")
        await at.until(lambda: at.names == ["x"] and "deleted" in at.shown("preview"))
        await at.press("d")
        assert "d again removes x for ever" in at.shown("said")
        assert list((home / "sessions" / "deleted").glob("*.jsonl"))
        await at.press("d")
        await at.until(lambda: at.names == [])
        assert not list((home / "sessions" / "deleted").glob("*.jsonl"))
        await at.press("escape")
        await at.until(lambda: at.names == ["x"])


async def test_the_question_is_gone_once_the_cursor_moves(home: Path) -> None:
    for name in ("x", "y"):
        saved(home, name)
        library.delete(name, home / "sessions")
    async with browser(home, "f4") as at:
        await at.press("x")
        await at.until(lambda: len(at.names) == 2 and at.shown("preview"))
        await at.press("d")
        assert "for ever" in at.shown("said")
        await at.press("down")
        assert at.shown("said") == ""
        await at.press("up", "d")
        assert "for ever" in at.shown("said")
        assert len(list((home / "sessions" / "deleted").glob("*.jsonl"))) == 2


async def test_what_is_renamed_is_what_it_was_asked_of(home: Path) -> None:
    saved(home, "aaa")
    saved(home, "b", age=1)
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 2)
        await at.press("r")
        assert "A new name for aaa" in at.shown("said")
        await at.type("c")
        at.table.move_cursor(row=1)
        await at.press("enter")
        await at.until(lambda: at.names == ["c", "b"])


async def test_end_leads_to_the_last_session_and_home_to_the_first(home: Path) -> None:
    path = saved(home, "s0000")
    for n in range(1, PAGE + 50):
        os.link(path, path.with_name(f"s{n:04}.jsonl"))
    async with browser(home, "f4") as at:
        await at.until(lambda: at.names)
        await at.press("end")
        assert at.table.cursor_row == PAGE + 49
        await at.press("home")
        assert at.table.cursor_row == 0


async def test_quick_keys_delete_one_after_the_other_and_take_them_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate("abcde"):
        saved(home, name, age=age)
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 5)
        with monkeypatch.context() as slow:
            slow.setattr(at.screen, "list_again", lambda: None)
            await at.press("down", "d", "d", "d")
            assert at.names == ["a", "e"]
        await at.pilot.press("u", "u")
        await at.until(lambda: at.names == ["a", "c", "d", "e"])
        await at.press("u")
        await at.until(lambda: at.names == list("abcde"))
        assert "Undo" not in at.keys


async def test_only_keys_that_mean_something_stand_at_the_foot(home: Path) -> None:
    async with browser(home, "f4") as at:
        await at.until(lambda: "No session" in at.shown("preview"))
        assert at.keys == {"Back", "Deleted"}
        saved(home, "x")
        at.screen.list_again()  # type: ignore[attr-defined]
        await at.until(lambda: "Delete" in at.keys)
        assert {"Load", "Search", "Rename", "Replay"} <= at.keys
        await at.press("r")
        assert at.keys == {"Back"}


@pytest.mark.parametrize(("key", "of"), [("f4", "sessions"), ("f5", "results")])
async def test_a_folder_that_refuses_is_told_and_not_called_empty(
    home: Path, monkeypatch: pytest.MonkeyPatch, key: str, of: str
) -> None:
    async with browser(home, key) as at:
        forbid(monkeypatch, home / of)
        at.screen.list_again()  # type: ignore[attr-defined]
        shown = "preview" if key == "f4" else "text"
        await at.until(lambda: "Permission denied" in at.shown(shown))
        assert "Permission denied" in at.shown("said")
        await at.press("d", "x", "escape")


@pytest.mark.parametrize(
    ("name", "another"),
    [
        ("x --forever", "x"),
        (unicodedata.normalize("NFD", "café"), "café"),
    ],
)
async def test_names_that_nobody_could_type_are_deleted_restored_and_loaded(
    home: Path, name: str, another: str
) -> None:
    path = saved(home, name)
    saved(home, another, age=5)
    async with browser(home, "f4") as at:
        await at.until(lambda: len(at.names) == 2)
        await at.press("d")
        await at.until(lambda: len(at.names) == 1)
        assert not path.exists()
        await at.press("u")
        await at.until(lambda: len(at.names) == 2)
        assert path.exists()
        at.table.move_cursor(row=0)
        await at.press("enter")
        assert at.at.chat.log.path == path


async def test_while_an_answer_streams_a_refused_line_is_kept(home: Path) -> None:
    saved(home, "x", age=-(10**10))
    async with table(home / "sessions", HELD) as chat:
        await chat.type("one")
        await chat.until("First part")
        await chat.pilot.press("f4")
        at = Browser(chat, chat.app.screen)  # type: ignore[arg-type]
        await at.until(lambda: "x" in at.names)
        await at.press("r")
        await at.type("y")
        await at.press("enter")
        assert "which is at work" in at.shown("said")
        await at.press("escape", "enter")
        assert chat.screen.prompt.text == "/load x"
        assert "which is at work" in chat.hint


async def test_of_many_sessions_those_are_read_that_are_seen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(home, "s0000")
    for n in range(1, 2 * PAGE + 50):
        os.link(path, path.with_name(f"s{n:04}.jsonl"))
    read: list[str] = []

    def counted(session: Session) -> Glance:
        read.append(session.name)
        return library.glance(session)

    monkeypatch.setattr("tokenhud.tui.screens.sessions.glance", counted)
    async with browser(home, "f4") as at:
        await at.until(lambda: at.cell(0, "turns") if at.names else "")
        assert at.table.row_count == PAGE
        assert len(read) < PAGE
        at.table.move_cursor(row=PAGE - NEAR)
        await at.until(lambda: at.table.row_count == 2 * PAGE)
        assert at.table.cursor_row == PAGE - NEAR


@pytest.mark.parametrize("key", ["f4", "f5"])
async def test_a_window_of_any_size_will_do(home: Path, key: str) -> None:
    saved(home, "x")
    (home / "results" / "broken").mkdir(parents=True)
    async with browser(home, key) as at:
        await at.until(lambda: at.names)
        for size in ((20, 5), (1, 1), (140, 45)):
            await at.pilot.resize_terminal(*size)
            await at.press("right" if key == "f5" else "down")
        assert at.names
