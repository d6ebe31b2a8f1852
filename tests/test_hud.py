"""The HUD: what its figures mean, what it warns of, and what it shows of other answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.widgets import Input

from tests.fakes import MS, Beat, ScriptedEngine, chat_with, words
from tokenhud.engines.events import Prefill, Sample, Start, Step, Stop
from tokenhud.engines.options import Sampling, Spec
from tokenhud.sessions.chat import Chat
from tokenhud.sessions.definitions import DEFINITIONS, definition
from tokenhud.sessions.records import Record, Trial, Turn
from tokenhud.tui.chat.hud import Hud
from tokenhud.tui.chat.panel import View, panel, view
from tokenhud.tui.chat.panel import words as bar_words
from tokenhud.tui.chat.readings import LINGERS, Readings
from tokenhud.tui.chat.rows import Row

GIB = 1 << 30
DRAFTED = [Beat((f" w{n}", "."), 4, n % 3, 20) for n in range(40)]
PLAIN = words("one word after the other and on " * 4)


def compared(folder: Path) -> Chat:
    """A chat that was answered plain and with drafts."""
    chat = chat_with(ScriptedEngine(PLAIN, PLAIN, DRAFTED, PLAIN), folder, Spec(gamma=4))
    for line in ("cold", "plain"):
        list(chat.ask(line))
    chat.set("drafter", "suffix")
    list(chat.ask("drafted"))
    return chat


def seen_by(chat: Chat, now_ns: int = 0) -> View:
    return view(Readings.of(chat.log.records), chat, now_ns)


def row(rows: Sequence[Row], name: str) -> Row:
    return next(each for each in rows if name in (each.label, each.value))


def test_every_figure_of_panel_and_bar_has_a_definition(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    chat.set("temperature", 0.5)
    chat.log.warning = "This chat is not saved."
    seen = seen_by(chat)
    named = [each.figure for each in panel(seen, 42, 80) if each != Row("", "")]
    named += [word.figure for line in bar_words(seen, 300) for word in line]
    assert [name for name in named if not definition(name)] == []
    assert {"speed-up", "by place", "draft by draft", "next", "LAST TURNS", "NOT SAVED"} <= {*named}


def test_a_definition_is_short_enough_for_the_line_below():
    assert max(len(definition(name)) for name in DEFINITIONS) < 4 * 76


def test_methods_stand_side_by_side_and_the_one_in_use_first(tmp_path: Path) -> None:
    rows = panel(seen_by(compared(tmp_path)), 42, 80)
    at = rows.index(row(rows, "BY METHOD"))
    assert [each.label.split()[:2] for each in rows[at + 1 : at + 3]] == [
        ["▸", "suffix"],
        ["plain"],
    ]
    assert row(rows, "this method").value == "100.0 tok/s"
    assert "2.50×" in rows[at + 1].value
    assert "40.0" in rows[at + 2].value


def test_the_latest_turns_stand_below_where_there_is_height(tmp_path: Path) -> None:
    seen = seen_by(compared(tmp_path))
    rows = panel(seen, 42, 80)
    told = [each for each in rows if each.about == "LAST TURNS"]
    assert [each.label for each in told] == ["suffix γ auto", "plain", "plain cold"]
    assert all(each.figure != "LAST TURNS" for each in panel(seen, 30, 24))


def test_where_height_is_short_what_is_spare_goes_first(tmp_path: Path) -> None:
    seen = seen_by(compared(tmp_path))
    full, low = panel(seen, 30, 80), panel(seen, 30, 24)
    assert len(low) <= 24 < len(full)
    assert {"SPEED", "DRAFTS", "speed-up", "CONTEXT", "RAM", "ENGINE", "SAMPLING"} <= {
        each.label for each in low
    }


@pytest.mark.parametrize(("used", "sign"), [(0.5, ""), (0.92, "! "), (0.99, "!! ")])
def test_memory_that_runs_out_has_a_sign_besides_the_colour(
    tmp_path: Path, used: float, sign: str
) -> None:
    chat = compared(tmp_path)
    chat.sample = Sample(0, ram_used=int(used * 10 * GIB), ram_total=10 * GIB)
    seen = seen_by(chat)
    assert row(panel(seen, 30, 80), "RAM").value == f"{sign}{used * 10:.1f} / 10.0 GiB"
    first = bar_words(seen, 80)[1][0].text
    assert first == f"{sign}RAM {used * 10:.1f} GiB" if sign else "RAM" not in first


@pytest.mark.parametrize(("context", "sign"), [(1000, ""), (190, "! "), (170, "!! ")])
def test_a_context_that_fills_has_a_sign_and_stands_first(
    tmp_path: Path, context: int, sign: str
) -> None:
    chat = chat_with(ScriptedEngine(words("a " * 159)), tmp_path, Spec(context=context))
    list(chat.ask("x"))
    seen = seen_by(chat)
    assert row(panel(seen, 30, 80), "CONTEXT").value == f"{sign}163 / {context:,}"
    if sign:
        assert bar_words(seen, 80)[0][0].text.startswith(f"{sign}ctx")


def test_a_chat_that_is_not_saved_says_so_first(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    chat.log.warning = "This chat is not saved."
    seen = seen_by(chat)
    assert row(panel(seen, 30, 80), "!! NOT SAVED").style == "error"
    assert bar_words(seen, 60)[1][0].text == "!! NOT SAVED"


def trial(now: int, steps: int, drafter: str = "ngram") -> Iterator[Record]:
    spec = Spec(threads=2, context=2048, drafter=drafter)
    yield Start(now, (1,) * 7, 0, False, spec, Sampling())
    yield Prefill(now, 0, 7)
    for n in range(steps):
        yield Step((1, 1), ("a", "b"), 2, 1, now + (n + 1) * 10 * MS)


def test_while_a_trial_runs_its_figures_are_shown_and_the_chats_stay(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    readings = Readings.of(chat.log.records)
    before = readings.session_rate, readings.start, len(readings.turns)
    now = 5_000 * MS
    for record in (Trial("bench", 3), *trial(now, 20)):
        readings.add(record)
    seen = view(readings, chat, now + 200 * MS)
    rows = panel(seen, 30, 80)
    assert row(rows, "SPEED").value == "bench now"
    assert row(rows, "DRAFTS").value == "20 / 40"
    assert any("ngram" in each.value for each in rows)
    assert "speed-up" not in {each.label for each in rows}
    assert (readings.session_rate, readings.start, len(readings.turns)) == before

    readings.add(Stop(now + 200 * MS, "stop"))
    assert readings.shown(now + 200 * MS + LINGERS).trial
    assert readings.shown(now + 201 * MS + LINGERS) is readings.answer
    readings.add(Turn(4, "next", ""))
    assert readings.shown(now + 201 * MS) is readings.answer


def test_a_load_that_is_cancelled_changes_no_turn(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    readings = Readings.of(chat.log.records)
    reason = readings.turns[-1].reason
    readings.add(Stop(9_000 * MS, "cancelled"))
    assert [each.reason for each in readings.turns] == [reason] * 3
    assert readings.meter.metrics().reason == reason


class Bench(App[None]):
    """The HUD below an input, as it stands in the chat."""

    CSS = "Hud { height: 1fr; padding: 0 1; }"

    def __init__(self, chat: Chat) -> None:
        super().__init__()
        self.hud = Hud()
        self.told: list[str] = []
        self._chat = chat

    def compose(self) -> ComposeResult:
        yield Input()
        yield self.hud

    def paint(self) -> None:
        self.hud.show(seen_by(self._chat))

    @on(Hud.Explained)
    def tell(self, explained: Hud.Explained) -> None:
        self.told.append(explained.text)

    @property
    def reversed(self) -> list[str]:
        """What is drawn as looked at."""
        rows = [self.hud.render_line(y) for y in range(self.hud.content_size.height)]
        return [
            each.text.strip() for row in rows for each in row if each.style and each.style.reverse
        ]


@pytest.mark.parametrize(("size", "shape"), [((34, 26), "side"), ((80, 4), "bar")])
async def test_figures_are_looked_at_by_keys_and_say_what_they_mean(
    tmp_path: Path, size: tuple[int, int], shape: str
) -> None:
    app = Bench(compared(tmp_path))
    async with app.run_test(size=size) as pilot:
        app.hud.shape = "side" if shape == "side" else "bar"
        app.paint()
        assert app.reversed == []
        await pilot.press("tab")
        first = app.hud.looked_at
        assert app.told[-1] == definition(first) != ""
        await pilot.press("down", "down", "up")
        assert app.hud.looked_at != first
        assert app.told[-1] == definition(app.hud.looked_at)
        assert app.reversed
        seen = set()
        for _ in DEFINITIONS:
            seen.add(app.hud.looked_at)
            assert app.reversed, f"{app.hud.looked_at} is out of sight"
            await pilot.press("right")
        await pilot.press("end")
        assert app.hud.looked_at in seen
        await pilot.press("home")
        assert app.hud.looked_at == first
        await pilot.press("shift+tab")
        assert app.told[-1] == ""
        assert app.reversed == []


async def test_a_click_tells_what_a_figure_means(tmp_path: Path) -> None:
    app = Bench(compared(tmp_path))
    async with app.run_test(size=(40, 60)) as pilot:
        app.hud.shape = "side"
        app.paint()
        rows = panel(seen_by(app._chat), *app.hud.content_size)
        y = rows.index(row(rows, "first token"))
        await pilot.click(Hud, offset=(4, y))
        assert app.hud.looked_at == "first token"


async def test_a_figure_that_is_gone_is_left(tmp_path: Path) -> None:
    chat = compared(tmp_path)
    app = Bench(chat)
    async with app.run_test(size=(34, 60)) as pilot:
        app.hud.shape = "side"
        app.paint()
        await pilot.press("tab")
        while app.hud.looked_at != "speed-up":
            await pilot.press("down")
        chat.set("drafter", "plain")
        list(chat.ask("plain again"))
        app.paint()
        assert app.reversed == []
        await pilot.press("down")
        assert app.hud.looked_at == "SPEED"
        assert app.reversed


@pytest.mark.parametrize("width", [20, 60, 80, 100, 140])
def test_it_fits_any_window(width: int) -> None:
    hud = Hud()
    hud.fit(Size(width, 24))
    assert hud.shape == ("hidden" if width < 40 else "bar" if width < 100 else "side")
    assert hud.has_class("-wide") == (width >= 140)
