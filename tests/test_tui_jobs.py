"""What a command's long work looks like on the screen, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import words
from tests.test_tui_flow import HELD, table
from tokenhud.tui.chat.actions import act
from tokenhud.tui.commands.grammar import Live, Reply, Said


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_a_key_ends_a_benchmark_and_the_next_message_is_answered(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    async with table(tmp_path, HELD, words("Second.")) as at:
        await at.type("/bench code with plain")
        await at.until("1 prompt by 1 method")
        for _ in range(500):
            if at.engine.requests:
                break
            await at.pilot.pause(0.01)
        await at.pilot.press(key)
        await at.rest()
        assert at.shown.count("Cancelled") == 1
        await at.type("two")
        await at.rest()
        assert "Second." in at.shown


async def test_what_grows_takes_the_place_of_what_it_was(tmp_path: Path) -> None:
    def job() -> Iterator[Said]:
        yield "Begin."
        yield Live("plain 20")
        yield Live("plain 20\nsuffix 40")
        yield "The end."
        yield Live("another")

    async with table(tmp_path) as at:
        act(at.screen, Reply("", job=job))
        await at.rest()
        lines = [line.strip(" •") for line in at.shown.splitlines() if line.strip()]
        assert lines[-5:] == ["Begin.", "plain 20", "suffix 40", "The end.", "another"]
