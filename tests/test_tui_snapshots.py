"""The main screen as pictures: a fixed script on the virtual clock, fixed readings."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from textual.pilot import Pilot

from tests.fakes import MS, Beat, ScriptedEngine, chat_with, words
from tokenhud.engines.events import Sample
from tokenhud.engines.options import Spec
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.chat.screen import ChatScreen

ANSWER = """A *draft* proposes tokens and the **target** checks them, see `list[int]`.

1. Draft tokens with a cheap model.
2. Keep the longest prefix that agrees.

```python
def decode(tokens: list[int]) -> list[int]:
    return target.check(tokens, drafter.propose(tokens, 4))
```

| method | tok/s |
|:--|--:|
| plain | 20.1 |
| 日本語 | 41.2 |
"""
LINES = [Beat((line + "\n",), 4, n % 5, 30 + 5 * n) for n, line in enumerate(ANSWER.split("\n"))]
READING = Sample(0, 87.0, int(3.1 * 2**30), int(7.8 * 2**30), 612 << 20)


class Compare(Protocol):
    def __call__(self, app: TokenhudApp, **options: object) -> bool: ...


def app_with(folder: Path, *scripts: list[Beat], drafter: str = "plain") -> TokenhudApp:
    chat = chat_with(ScriptedEngine(*scripts), folder, Spec(gamma=4, drafter=drafter))
    chat.log.append(READING)
    return TokenhudApp(chat, clock=lambda: 1_000 * MS)


async def ask(pilot: Pilot[None], *lines: str) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, ChatScreen)
    await pilot.pause()
    await screen.at_rest()
    for line in lines:
        screen.prompt.insert(line)
        await pilot.press("enter")
        await pilot.pause()
        await screen.at_rest()
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_after_an_answer(tmp_path: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def run(pilot: Pilot[None]) -> None:
        await ask(pilot, "How does it work?", "/temperature 0.7", "And briefly?", "/length 100")

    app = app_with(tmp_path, LINES, words("In one pass."))
    assert snap_compare(app, terminal_size=size, run_before=run)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_drafts(tmp_path: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def run(pilot: Pilot[None]) -> None:
        await ask(pilot, "Warm up.", "Plain first.", "/suffix", "How does it work?", "/verify")

    app = app_with(tmp_path, words("Warm."), words("One word after the other."), LINES)
    assert snap_compare(app, terminal_size=size, run_before=run)


def test_completion_list(tmp_path: Path, snap_compare: Compare) -> None:
    async def run(pilot: Pilot[None]) -> None:
        await ask(pilot)
        await pilot.press("slash", "t")

    assert snap_compare(app_with(tmp_path), terminal_size=(80, 24), run_before=run)


def test_a_refused_command(tmp_path: Path, snap_compare: Compare) -> None:
    async def run(pilot: Pilot[None]) -> None:
        await ask(pilot, "/length six")

    assert snap_compare(app_with(tmp_path), terminal_size=(80, 24), run_before=run)
