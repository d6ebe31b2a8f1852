"""What a person does at the screen, through its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from tests.fakes import Beat, ScriptedEngine, chat_with, words
from tokenhud.engines.events import EngineError, Event, Preview, Progress, Request, Step, Stop
from tokenhud.engines.options import DRAFTERS
from tokenhud.sessions.config import THEMES
from tokenhud.sessions.records import Turn
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.chat.screen import ChatScreen
from tokenhud.tui.commands.table import suggest

LONG = [Beat((f"line {n}\n\n",), ms=1) for n in range(60)]
HELD = [*words("First part"), Beat((" last.",), wait=True)]


class Table:
    """The screen, and what a test asks of it."""

    def __init__(self, app: TokenhudApp, pilot: Pilot[None], engine: ScriptedEngine) -> None:
        self.app, self.pilot, self.engine = app, pilot, engine
        self.chat = app.chat

    @property
    def screen(self) -> ChatScreen:
        assert isinstance(self.app.screen, ChatScreen)
        return self.app.screen

    @property
    def shown(self) -> str:
        self.screen.paint()
        return self.screen.transcript.text()

    @property
    def hint(self) -> str:
        return str(self.screen.query_one("#hint").render())

    @property
    def answers(self) -> list[str]:
        return [each.answer for each in self.chat.exchanges]

    async def type(self, text: str, *keys: str) -> None:
        self.screen.prompt.insert(text)
        await self.pilot.press(*(keys or ("enter",)))
        await self.pilot.pause()

    async def until(self, seen: str) -> None:
        for _ in range(500):
            if seen in self.shown:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{seen!r} is not in:\n{self.shown}")

    async def rest(self) -> None:
        await self.screen.at_rest()
        await self.pilot.pause()


@asynccontextmanager
async def table(
    folder: Path,
    *scripts: Sequence[Beat | EngineError],
    size: tuple[int, int] = (80, 24),
    real: bool = False,
) -> AsyncIterator[Table]:
    engine = ScriptedEngine(*scripts, real=real)
    app = TokenhudApp(chat_with(engine, folder))
    async with app.run_test(size=size) as pilot:
        at = Table(app, pilot, engine)
        await at.rest()
        try:
            yield at
        finally:
            engine.close()


async def test_a_question_is_answered_and_its_figures_stand_below(tmp_path: Path) -> None:
    async with table(tmp_path, words("It is because of list[int] and [b]x[/b].")) as at:
        await at.type("why?")
        await at.rest()
        assert "▸ why?" in at.shown
        assert "It is because of list[int] and [b]x[/b]." in at.shown
        assert "7 tok · 40.0 tok/s · TTFT 125 ms · cold" in at.shown


async def test_what_is_sent_while_the_model_loads_waits_and_is_answered(tmp_path: Path) -> None:
    engine = ScriptedEngine(words("Yes."), progress=[Progress(0, "Unpacking", 1, 4)])
    engine.ready.clear()
    app = TokenhudApp(chat_with(engine, tmp_path))
    async with app.run_test() as pilot:
        at = Table(app, pilot, engine)
        await at.type("early")
        assert "queued: early" in str(at.screen.query_one("#queued").render())
        assert "Unpacking" in at.hint
        assert "25 %" in at.hint
        engine.ready.set()
        await at.until("Yes.")


async def test_esc_cancels_keeps_the_text_and_the_next_message_works(tmp_path: Path) -> None:
    async with table(tmp_path, HELD, words("Second.")) as at:
        await at.type("one")
        await at.until("First part")
        await at.pilot.press("escape")
        await at.rest()
        assert "First part" in at.shown
        assert "cancelled" in at.shown
        assert at.answers == ["First part"]
        await at.type("two")
        await at.rest()
        assert "Second." in at.shown


@pytest.mark.parametrize("end", ["stop", "cancel", "error"])
async def test_the_last_tokens_are_on_the_screen(tmp_path: Path, end: str) -> None:
    burst = [Beat((f"w{n} ",), ms=0) for n in range(5)]
    error = EngineError("It broke.", "Mend it.")
    lasts: dict[str, list[Beat | EngineError]] = {
        "stop": [],
        "cancel": [Beat(("never",), wait=True)],
        "error": [error],
    }
    async with table(tmp_path, [*burst, *lasts[end]]) as at:
        await at.type("go")
        await at.until("w0 w1 w2 w3 w4")
        await at.pilot.press("escape")
        await at.rest()
        assert "w0 w1 w2 w3 w4" in at.shown
        assert "never" not in at.shown
        assert at.answers == ["w0 w1 w2 w3 w4 "]
        if end == "error":
            assert "! It broke. Mend it." in at.shown


async def test_an_unknown_command_stays_in_the_input_and_is_not_sent(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.type("/lengt 5", "enter")
        assert "/length" in at.hint
        assert at.screen.prompt.text == "/lengt 5"
        assert at.engine.requests == []
        await at.pilot.press("x")
        assert "Did you mean" not in at.hint


async def test_a_wrong_argument_changes_nothing(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.type("/length six", "enter")
        assert "whole number" in at.hint
        assert at.screen.prompt.text == "/length six"
        await at.pilot.press("ctrl+c")
        await at.type("/length 5", "enter")
        assert "512 → 5" in at.shown
        assert at.chat.sampling.length == 5


async def test_typing_behind_an_enter_is_not_lost(tmp_path: Path) -> None:
    async with table(tmp_path, HELD) as at:
        at.screen.prompt.insert("one")
        for key in ("enter", "x", "y"):
            at.screen.prompt.post_message(events.Key(key, None if key == "enter" else key))
        await at.pilot.pause()
        assert at.screen.prompt.text == "xy"
        assert [each.user for each in at.chat.exchanges] == ["one"]


async def test_commands_that_change_the_conversation_wait_for_the_answer(tmp_path: Path) -> None:
    async with table(tmp_path, HELD) as at:
        await at.type("one")
        await at.until("First part")
        for line in ("/undo", "/retry", "/clear"):
            await at.type(line, "enter")
            assert "which is at work" in at.hint
            assert at.screen.prompt.text == line
            at.screen.prompt.write("")
        await at.type("/length 7", "enter")
        assert "512 → 7" in at.shown
        at.engine.go.set()
        await at.until("First part last.")


async def test_undo_gives_the_text_back_and_retry_asks_again(tmp_path: Path) -> None:
    async with table(tmp_path, words("Good."), words("Better.")) as at:
        await at.type("say\tit\nwell")
        await at.rest()
        await at.type("/retry", "enter")
        await at.rest()
        assert "Better." in at.shown
        assert "Good." not in at.shown
        await at.type("/undo", "enter")
        assert at.screen.prompt.text == "say\tit\nwell"
        assert "Better." not in at.shown


async def test_history_recalls_exactly(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.type("a\tb\n  c\n")
        await at.rest()
        await at.type("draft", "up")
        assert at.screen.prompt.text == "a\tb\n  c\n"
        await at.pilot.press("down")
        assert at.screen.prompt.text == "draft"


@pytest.mark.parametrize("blank", ["", "   ", "\n", "\t\n "])
async def test_blank_text_is_not_sent(tmp_path: Path, blank: str) -> None:
    async with table(tmp_path) as at:
        await at.type(blank)
        assert not any(isinstance(each, Turn) for each in at.chat.log.records)
        assert at.screen.prompt.text == blank


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter"])
async def test_keys_that_break_the_line(tmp_path: Path, key: str) -> None:
    async with table(tmp_path) as at:
        await at.type("a", key, "b")
        assert at.screen.prompt.text == "a\nb"


async def test_a_paste_is_kept_whole(tmp_path: Path) -> None:
    lines = "\n".join(f"{n}\tvalue" for n in range(10_000))
    async with table(tmp_path) as at:
        at.app.post_message(events.Paste(lines))
        await at.pilot.pause()
        assert at.screen.prompt.text == lines
        assert at.screen.prompt.size.height <= 8
        await at.pilot.press("enter")
        await at.rest()
        assert at.engine.requests[0].messages[-1].content == lines


async def test_ctrl_c_by_turns_cancels_clears_warns_and_quits(tmp_path: Path) -> None:
    async with table(tmp_path, HELD) as at:
        await at.type("one")
        await at.until("First part")
        await at.pilot.press("ctrl+c")
        await at.rest()
        assert "cancelled" in at.shown
        await at.type("a draft", "ctrl+c")
        assert at.screen.prompt.text == ""
        await at.pilot.press("up")
        assert at.screen.prompt.text == "a draft"
        await at.pilot.press("ctrl+c", "ctrl+c")
        assert "again to quit" in at.hint
        assert at.app.is_running
        await at.pilot.press("ctrl+c")
        await at.pilot.pause()
        assert at.app.return_code == 0
        assert not at.app.is_running


async def test_quitting_in_mid_answer_records_it(tmp_path: Path) -> None:
    async with table(tmp_path, HELD) as at:
        await at.type("one")
        await at.until("First part")
        await at.type("/quit", "enter")
        await at.pilot.pause()
        last = at.chat.log.records[-1]
        assert isinstance(last, Stop)
        assert last.reason == "cancelled"


def test_leaving_does_not_wait_for_an_engine_that_hangs(tmp_path: Path) -> None:
    class Hanging(ScriptedEngine):
        def cancel(self) -> None:
            """Ignores it, as an engine in one long native call does."""

        def close(self) -> None:
            super().cancel()
            self.closed = True

    app = TokenhudApp(chat_with(engine := Hanging(HELD), tmp_path))

    async def leave(pilot: Pilot[Any]) -> None:
        at = Table(app, pilot, engine)
        await pilot.pause()
        await at.rest()
        at.screen.send("one")
        await at.until("First part")
        app.leave()

    app.run(headless=True, auto_pilot=leave)
    assert engine.closed
    assert app.chat.log.path is None


async def test_completion_opens_moves_accepts_and_closes(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.pilot.press("slash", "t", "e")
        assert at.screen.completion.display
        await at.pilot.press("tab")
        assert at.screen.prompt.text == "/temperature "
        at.screen.prompt.write("")
        await at.pilot.press("slash", "t", "down", "up", "down", "tab")
        assert at.screen.prompt.text == suggest("/t", at.chat)[1].insert
        at.screen.prompt.write("")
        await at.pilot.press("slash", "escape")
        assert not at.screen.completion.display
        assert at.screen.prompt.text == "/"


async def test_enter_on_a_whole_command_runs_it(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.type("/save", "enter")
        assert "This session is kept" in at.shown
        assert at.screen.prompt.text == ""


async def test_the_view_stays_where_the_reader_scrolled(tmp_path: Path) -> None:
    script = [*LONG[:40], Beat(("held\n\n",), wait=True), *LONG]
    async with table(tmp_path, script, words("Again.")) as at:
        await at.type("go")
        await at.until("line 39")
        await at.pilot.press("pageup", "pageup")
        top = at.screen.transcript.scroll_y
        at.engine.go.set()
        await at.rest()
        await at.until("line 59")
        assert at.screen.transcript.scroll_y == top
        await at.pilot.press("end")
        await at.pilot.pause()
        assert at.screen.transcript.scroll_y == at.screen.transcript.max_scroll_y
        await at.pilot.press("pageup")
        await at.type("again")
        await at.until("Again.")
        await at.pilot.pause()
        assert at.screen.transcript.scroll_y == at.screen.transcript.max_scroll_y


async def test_long_chats_fold_old_turns_and_say_so(tmp_path: Path) -> None:
    async with table(tmp_path, words("Fine.", ms=0)) as at:
        for n in range(80):
            at.screen.send(f"question {n}.")
            await at.screen.at_rest()
            at.screen.paint()
        assert "earlier answers are folded" in at.shown
        assert "question 0." not in at.shown
        assert "question 79." in at.shown
        assert len(at.chat.exchanges) == 80


async def test_a_loaded_session_shows_its_end_and_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    before = chat_with(ScriptedEngine(words("Fine indeed.")), tmp_path / "sessions")
    for n in range(40):
        for _ in before.ask(f"question {n}."):
            pass
    before.log.rename("long")
    before.log.close()
    async with table(tmp_path / "new") as at:
        await at.type("/load long", "enter")
        assert "10 earlier answers are folded" in at.shown
        assert "question 9." not in at.shown
        assert "question 39." in at.shown
        assert at.screen.scribe.readings.session_rate == pytest.approx(40)
        await at.type("more")
        await at.rest()
        assert len(at.engine.requests[0].messages) == 81


async def test_every_theme_can_be_shown(tmp_path: Path) -> None:
    async with table(tmp_path, words("Some `code` and **words**.")) as at:
        await at.type("go")
        await at.rest()
        for theme in THEMES:
            await at.type(f"/theme {theme} ", "enter")
            assert at.app.theme == theme
            await at.pilot.pause()
        assert "Some code and words." in at.shown


async def test_a_log_that_cannot_be_written_is_said_once_and_marked(tmp_path: Path) -> None:
    async with table(tmp_path, size=(120, 40)) as at:
        at.chat.log.warning = "The disk is full."
        at.screen.paint()
        assert at.shown.count("! The disk is full.") == 1
        await at.type("/nonsense", "enter")
        assert any("NOT SAVED" in at.screen.hud.render_line(y).text for y in range(40))


async def test_a_click_leaves_the_focus_in_the_input(tmp_path: Path) -> None:
    async with table(tmp_path) as at:
        await at.pilot.click(at.screen.transcript, offset=(5, 5))
        await at.pilot.press("x")
        assert at.screen.prompt.text == "x"


async def test_debug_shows_every_step_while_it_streams(tmp_path: Path) -> None:
    script = [Beat(("a", " b"), 4, 1, 50), Beat((" c",), wait=True)]
    async with table(tmp_path, script) as at:
        await at.type("/debug on", "enter")
        await at.type("go")
        await at.until("4        1       2   50 ms  {+a+} b")
        at.engine.go.set()
        await at.rest()
        await at.until("0        0       1   25 ms   c")


async def test_a_fault_of_the_program_is_told_and_the_chat_goes_on(tmp_path: Path) -> None:
    class Broken(ScriptedEngine):
        def stream(self, request: Request) -> Iterator[Event]:
            raise RuntimeError(f"boom {request.sampling.length}")

    app = TokenhudApp(chat_with(Broken(), tmp_path))
    async with app.run_test() as pilot:
        at = Table(app, pilot, Broken())
        await at.rest()
        await at.type("go")
        await at.until("boom 512")
        await at.type("/save", "enter")
        await at.until("This session is kept")


async def test_the_hud_changes_shape_and_folds(tmp_path: Path) -> None:
    async with table(tmp_path, size=(120, 40)) as at:
        shapes: list[str] = [at.screen.hud.shape]
        for _ in range(3):
            await at.pilot.press("f2")
            shapes.append(at.screen.hud.shape)
        assert shapes == ["side", "bar", "hidden", "side"]
        await at.pilot.resize_terminal(36, 9)
        await at.pilot.pause()
        at.screen.paint()
        assert at.screen.hud.folded
        assert "too small" in at.hint


async def test_windows_of_any_size(tmp_path: Path) -> None:
    text = "日本語 👩‍👩‍👧 é " * 20
    async with table(tmp_path, [*words(text, ms=0), Beat(("end",), wait=True)]) as at:
        await at.type("go")
        for width, height in [(1, 1), (20, 5), (40, 10), (200, 3), (3, 50), (1, 40), (80, 24)]:
            await at.pilot.resize_terminal(width, height)
            await at.pilot.pause()
            at.screen.paint()
        at.engine.go.set()
        await at.until("end")
        steps = [each for each in at.chat.log.records if isinstance(each, Step)]
        assert at.answers == ["".join(piece for step in steps for piece in step.pieces)]


async def test_selected_text_is_copied(tmp_path: Path) -> None:
    async with table(tmp_path, words("Copy these words.")) as at:
        await at.type("go")
        await at.until("Copy these")
        y = next(n for n, line in enumerate(at.shown.split("\n")) if "Copy these" in line)
        await at.pilot.mouse_down(at.screen.transcript, offset=(8, y))
        await at.pilot.hover(at.screen.transcript, offset=(13, y))
        await at.pilot.mouse_up(at.screen.transcript, offset=(13, y))
        await at.pilot.press("ctrl+c")
        assert at.app.clipboard.strip() == "these"
        assert at.app.is_running


async def test_a_trial_tells_its_verdicts_and_leaves_the_conversation(tmp_path):
    async with table(tmp_path, words("An answer.")) as at:
        await at.type("/verify")
        assert "Nothing was sent yet" in at.hint
        await at.type("", "ctrl+u")
        at.screen.prompt.clear()
        await at.type("Hello")
        await at.rest()
        await at.type("/verify")
        await at.rest()
        assert at.shown.count("identical · 2 tokens") == len(DRAFTERS) - 1
        assert at.answers == ["An answer."]
        assert at.shown.count("An answer.") == 1
        await at.type("And now?")
        await at.rest()
        assert len(at.answers) == 2


async def test_escape_ends_a_trial_and_what_was_typed_meanwhile_is_answered(tmp_path):
    async with table(tmp_path, words("One."), words("One."), HELD, words("Next.")) as at:
        await at.type("Hello")
        await at.rest()
        await at.type("/verify suffix")
        for _ in range(500):
            if len(at.engine.requests) == 3:
                break
            await asyncio.sleep(0.01)
        await at.type("Another")
        await at.type("/tune")
        assert "which is at work" in at.hint
        at.screen.prompt.clear()
        await at.pilot.press("escape")
        await at.rest()
        assert "Cancelled." in at.shown
        assert at.answers == ["One.", "Next."]


async def test_a_beam_s_preview_is_shown_until_it_is_settled(tmp_path):
    async with table(tmp_path, [Beat(("Settled",)), Beat((" end.",), wait=True)]) as at:
        await at.type("Hello")
        await at.until("Settled")
        at.chat.log.append(Preview(1, " and perhaps this"))
        await at.until("and perhaps this")
        at.engine.go.set()
        await at.rest()
        assert "perhaps" not in at.shown
        assert "Settled end." in at.shown
