"""Makes what the README shows from the program itself: its film, its pictures, its table of
commands.

    .venv/bin/python docs/make.py            # all of it; a minute or two
    .venv/bin/python docs/make.py table      # the table alone

Film and pictures are of a real chat with the embedded model on this machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from film import Frame, film, frame
from textual.pilot import Pilot

from tokenhud.engines.options import Sampling, Spec
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands.table import COMMANDS
from tokenhud.tui.start import open_chat, watch

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
COLUMNS, LINES = 112, 32
EVERY = 0.2  # seconds between two frames
KEY = 0.04  # seconds between two keys


def command_table() -> str:
    rows = [f"| `{_cell(each.usage)}` | {_cell(each.summary)} |" for each in COMMANDS]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def with_table(readme: str) -> str:
    marks = r"(<!-- commands -->\n).*?(\n<!-- end of commands -->)"
    return re.sub(marks, lambda m: m[1] + command_table() + m[2], readme, flags=re.DOTALL)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


class Stage:
    """The app, someone who types, and a camera."""

    def __init__(self, app: TokenhudApp, pilot: Pilot[None]) -> None:
        self._app, self._pilot = app, pilot
        self.frames: list[Frame] = []

    async def roll(self) -> None:
        began = time.monotonic()
        while True:
            self.frames.append(frame(time.monotonic() - began, self._app.export_screenshot()))
            await asyncio.sleep(EVERY)

    async def line(self, text: str) -> None:
        """Typed, and done with."""
        for character in text:
            self._app.chat_screen.prompt.insert(character)
            await self._pilot.pause(KEY)
        await self.press("enter")
        await self._pilot.pause(0.5)
        await self._app.chat_screen.at_rest()
        await self._pilot.pause(1.5)

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._pilot.pause(0.5)

    async def pause(self, seconds: float) -> None:
        await self._pilot.pause(seconds)

    def picture(self, name: str) -> None:
        """Its fonts are the reader's own."""
        picture = re.sub(r"@font-face \{[^}]*\}", "", self._app.export_screenshot())
        (DOCS / name).write_text(picture, encoding="utf-8")


async def chat(stage: Stage) -> None:
    await stage.line("Write a Python function that adds two numbers.")
    await stage.line("/suffix")
    await stage.line("Repeat it with type hints and a docstring.")
    stage.picture("tokenhud.svg")
    await stage.line("/race plain, suffix runs=3")
    stage.picture("race.svg")
    await stage.press("escape")
    await stage.press("f3")
    await stage.pause(1.0)
    stage.picture("turns.svg")
    await stage.press("escape")


async def perform(scene: Callable[[Stage], Awaitable[None]], name: str) -> None:
    chat = open_chat(Spec(), Sampling(length=64))
    poller = watch(chat)
    poller.start()
    app = TokenhudApp(chat)
    async with app.run_test(size=(COLUMNS, LINES)) as pilot:
        stage = Stage(app, pilot)
        await app.chat_screen.at_rest()
        camera = asyncio.create_task(stage.roll())
        await scene(stage)
        camera.cancel()
        with suppress(asyncio.CancelledError):
            await camera
    poller.stop()
    (DOCS / name).write_text(film(stage.frames, COLUMNS, LINES), encoding="utf-8")


def main() -> None:
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    if sys.argv[1:] == ["table"]:
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["TOKENHUD_HOME"] = home
        asyncio.run(perform(chat, "film.svg"))


if __name__ == "__main__":
    main()
