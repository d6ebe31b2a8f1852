"""The screen of all turns: its table, totals, chart and keys; long and growing logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from tests.fakes import MS, Beat, ScriptedEngine, chat_with, words
from tokenhud.engines.events import EngineError, Prefill, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat
from tokenhud.sessions.records import Trial, Turn
from tokenhud.sessions.turn_book import TurnBook
from tokenhud.sessions.turns import TurnMetrics
from tokenhud.tui.commands.grammar import Reply
from tokenhud.tui.opening import Desk
from tokenhud.tui.screens.turn_rows import COLUMNS, cells, in_words, step_chart, totals_lines
from tokenhud.tui.screens.turns import TurnsScreen

PLAIN = words("one word after the other")
DRAFTED = [Beat((" a", " b"), 4, accepted, 20) for accepted in (0, 1, 4, 0, 2)]
NAMES = [each.name for each in COLUMNS]


def compared(folder: Path) -> Chat:
    chat = chat_with(ScriptedEngine(PLAIN, PLAIN, DRAFTED), folder, Spec(gamma=4))
    for line in ("cold [b]x[/b]", "plain"):
        list(chat.ask(line))
    chat.set("drafter", "suffix")
    list(chat.ask("drafted \x1b[31m"))
    return chat


def book(chat: Chat) -> TurnBook:
    found = TurnBook()
    found.catch_up(chat.log.records)
    return found


def rows(chat: Chat, now_ns: int = 0) -> list[dict[str, str]]:
    found = book(chat)
    told = [cells(each, found.totals, now_ns) for each in found.entries]
    return [dict(zip(NAMES, each, strict=True)) for each in told]


@asynccontextmanager
async def screen(
    chat: Chat, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[tuple[TurnsScreen, Pilot[None]]]:
    app = App[None]()
    async with app.run_test(size=size) as pilot:
        opened = TurnsScreen(Desk(chat, lambda _: Reply(""), lambda: 10_000 * MS))
        await app.push_screen(opened)
        await pilot.pause()
        yield opened, pilot


def table(of: TurnsScreen) -> DataTable[object]:
    return of.query_one(DataTable)


def text(of: TurnsScreen, selector: str) -> str:
    return str(of.query_one(selector, Static).render())


def test_a_row_tells_a_turns_figures_and_the_gain_over_plain(tmp_path: Path) -> None:
    cold, plain, drafted = rows(compared(tmp_path))
    assert (cold["ended"], cold["× plain"]) == ("stop, cold", "–")
    assert (plain["tok/s"], plain["× plain"], plain["accepted"]) == ("40.0", "1.00", "–")
    assert (drafted["tok/s"], drafted["× plain"]) == ("100.0", "2.50")
    assert (drafted["method"], drafted["accepted"]) == ("suffix γ auto", "25 %")
    assert (drafted["weights"], drafted["runtime"]) == ("float32", "native")


def test_totals_are_sums_and_name_what_is_kept_out(tmp_path: Path) -> None:
    lines = totals_lines(book(compared(tmp_path)).totals)
    assert lines == [
        "Σ plain · 40.0 tok/s · 1 turn, 5 tok · 1 cold or not whole, kept out",
        "Σ suffix γ auto · 100.0 tok/s · 2.50× plain · accepted 25 % · 1 turn, 10 tok",
    ]


def test_totals_name_the_weights_where_they_differ(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    chat.set("quantize", "int8")
    list(chat.ask("smaller"))
    lines = totals_lines(book(chat).totals)
    assert [line.split(" · ")[1] for line in lines] == ["float32", "float32", "int8 (float32)"]
    assert "× plain" not in lines[2]  # nothing plain ran on those weights


def test_what_ended_otherwise_is_told(tmp_path: Path) -> None:
    broken: list[Beat | EngineError] = [Beat(("a",)), EngineError("It broke.", "Mend it.")]
    chat = chat_with(ScriptedEngine(PLAIN, broken, PLAIN), tmp_path)
    for line in ("one", "two", "three"):
        list(chat.ask(line))
    chat.undo()
    chat.begin("four")
    assert [each["ended"] for each in rows(chat)] == [
        "stop, cold",
        "error",
        "stop, taken back",
        "goes on",
    ]


def test_trials_are_no_turns(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    before = rows(chat)
    list(chat.attempt("verify", chat.spec, chat.sampling))
    assert rows(chat) == before


def test_the_chart_marks_what_came_of_each_draft(tmp_path: Path) -> None:
    entry = book(compared(tmp_path)).entries[-1]
    marks = {series.name: list(series.xs) for series in step_chart(entry).series}
    assert marks == {
        "nothing drafted": [],
        "all kept": [],
        "some kept": [2, 3, 5],
        "none kept": [4],
    }
    assert {y for series in step_chart(entry).series for y in series.ys} == {20}


def test_read_in_pieces_a_log_tells_the_same(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    pieces, whole = TurnBook(), book(chat)
    for _ in chat.log.records:
        pieces.catch_up(chat.log.records, most=3)
    figures_of = [[each.metrics() for each in found.entries] for found in (pieces, whole)]
    assert figures_of[0] == figures_of[1]
    assert pieces.totals == whole.totals


def test_changes_are_told_once_and_all_when_their_base_changed(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    found = book(chat)
    assert found.catch_up(chat.log.records) == set()
    chat.begin("next")
    assert found.catch_up(chat.log.records) == {3}
    list(chat.answer())
    assert found.catch_up(chat.log.records) == {0, 1, 2, 3}


async def test_the_last_turn_is_at_the_cursor_with_its_words_and_chart(tmp_path: Path) -> None:
    async with screen(compared(tmp_path)) as (shown, pilot):
        assert table(shown).row_count == 3
        assert text(shown, "#said").startswith("▸ drafted �[31m")
        assert "ms a step" in text(shown, "#chart")
        assert "some kept" in text(shown, "#chart")
        await pilot.press("home")
        assert text(shown, "#said") == "▸ cold [b]x[/b]"
        assert "nothing drafted" in text(shown, "#chart")
        await pilot.press("end")
        assert text(shown, "#said").startswith("▸ drafted")


async def test_it_grows_with_the_answer(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    async with screen(chat) as (shown, _):
        chat.begin("more")
        stream = chat.answer()
        for _ in range(6):
            next(stream)
        shown.paint()
        assert table(shown).row_count == 4
        assert text(shown, "#said") == "▸ more"
        assert [str(each) for each in table(shown).get_row_at(3)][7] == "goes on"
        list(stream)
        shown.paint()
        assert [str(each) for each in table(shown).get_row_at(3)][7] == "stop"


async def test_steps_are_listed_in_numbers_and_escape_goes_back_in_order(tmp_path: Path) -> None:
    async with screen(compared(tmp_path)) as (shown, pilot):
        await pilot.press("d")
        await pilot.pause()
        listed = text(shown, "#steps Static")
        assert listed.split("\n")[0].split()[:3] == ["drafted", "accepted", "emitted"]
        assert [line.split()[:3] for line in listed.split("\n")[1:]] == [
            ["4", "0", "2"],
            ["4", "1", "2"],
            ["4", "2", "2"],
            ["4", "0", "2"],
            ["4", "2", "2"],
        ]
        await pilot.press("escape")
        assert pilot.app.screen is shown
        await pilot.press("escape")
        assert pilot.app.screen is not shown


async def test_the_figures_of_a_turn_are_copied(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    async with screen(chat) as (shown, pilot):
        await pilot.press("up", "c")
        assert pilot.app.clipboard == in_words(list(rows(chat)[1].values()))
        assert "turn 2, method plain, tokens 5" in pilot.app.clipboard
        assert table(shown).cursor_row == 1


async def test_without_turns_it_says_so(tmp_path: Path) -> None:
    async with screen(chat_with(ScriptedEngine(), tmp_path)) as (shown, pilot):
        assert "No turn yet" in text(shown, "#totals")
        await pilot.press("c", "d", "escape", "escape")
        assert pilot.app.clipboard == ""


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (140, 45)])
async def test_it_stands_any_size_and_any_change_of_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with screen(compared(tmp_path), size) as (shown, pilot):
        for width, height in ((20, 5), (200, 50), size):
            await pilot.resize_terminal(width, height)
            await pilot.press("d")
            await pilot.pause()
        assert table(shown).row_count == 3
        assert (shown.query_one("#chart").size.height > 0) == (
            size[1] >= 20 and not shown.has_class("-steps")
        )


async def test_a_long_log_comes_in_bit_by_bit(tmp_path: Path) -> None:
    chat = chat_with(ScriptedEngine(), tmp_path)
    spec = Spec(threads=2, context=2048, target="native")
    for turn in range(1, 301):
        chat.log.records.append(Turn(turn, f"message {turn}", ""))
        now = turn * 1_000 * MS
        chat.log.records += [Start(now, (1,), 0, False, spec, Sampling()), Prefill(now, 0, 1)]
        for n in range(40):
            chat.log.records.append(Step((1,), ("a",), 0, 0, now + n * 10 * MS))
        chat.log.records.append(Stop(now + 400 * MS, "stop"))
    chat.log.records += [Trial("verify", 300), Stop(0, "stop")]
    async with screen(chat) as (shown, pilot):
        assert table(shown).row_count > 0
        while shown._book.read < len(chat.log.records):
            shown.paint()
        await pilot.pause()
        assert table(shown).row_count == 300
        assert text(shown, "#said") == "▸ message 300"
        assert "300 turns, 12,000 tok" in text(shown, "#totals")


def test_a_turn_without_an_answer_has_no_figure(tmp_path: Path) -> None:
    chat = chat_with(ScriptedEngine([EngineError("No.", "")]), tmp_path)
    chat.begin("x")
    (row,) = rows(chat)
    assert {name for name, value in row.items() if value == "–"} == {*NAMES} - {"turn", "ended"}
    assert book(chat).entries[0].metrics() == TurnMetrics()


def several(folder: Path) -> Chat:
    chat = chat_with(ScriptedEngine(PLAIN, *[DRAFTED] * 9), folder, Spec(gamma=4))
    list(chat.ask("plain"))
    for drafter in ("suffix", "ngram", "lookup"):
        chat.set("drafter", drafter)
        for _ in range(3):
            list(chat.ask(drafter))
    return chat


@pytest.mark.parametrize("height", [20, 24, 40])
async def test_the_chart_has_room_beside_several_methods(tmp_path: Path, height: int) -> None:
    async with screen(several(tmp_path), (80, height)) as (shown, pilot):
        assert shown.query_one("#chart").size.height >= 10
        assert "ms a step" in text(shown, "#chart")
        assert table(shown).size.height >= 4
        if height == 24:
            assert text(shown, "#totals").endswith("and 2 more methods")
        await pilot.resize_terminal(80, 12)
        assert table(shown).size.height > 4, "where there is no chart the table has its room"


async def test_beside_the_steps_the_turn_stays_in_sight_and_the_key_goes_back(
    tmp_path: Path,
) -> None:
    async with screen(several(tmp_path), (80, 24)) as (shown, pilot):
        keys = shown.active_bindings
        assert keys["d"].binding.description == "Steps in numbers"
        for row in (9, 5, 0):
            table(shown).move_cursor(row=row)
            await pilot.press("d")
            await pilot.pause()
            assert shown.active_bindings["d"].binding.description == "Chart"
            top = table(shown).scroll_y
            assert top <= row < top + table(shown).scrollable_content_region.height - 1
            await pilot.press("d")
            assert not shown.has_class("-steps")
