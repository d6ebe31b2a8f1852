"""Makes what the README shows from the program itself: its picture and its table of commands.

    .venv/bin/python docs/make.py

The picture is a real chat with the embedded model on this machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from tokenhud.engines.options import Sampling, Spec
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands import COMMANDS
from tokenhud.tui.start import open_chat, watch

ROOT = Path(__file__).parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "tokenhud.svg"
QUESTIONS = (
    "Say hello.",
    "Write a Python function that adds two numbers, and explain it in two sentences.",
    "Write a story about a lighthouse keeper.",
)


def command_table() -> str:
    rows = [f"| `{_cell(each.usage)}` | {_cell(each.summary)} |" for each in COMMANDS]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def with_table(readme: str) -> str:
    marks = r"(<!-- commands -->\n).*?(\n<!-- end of commands -->)"
    return re.sub(marks, lambda m: m[1] + command_table() + m[2], readme, flags=re.DOTALL)


async def take_picture() -> None:
    chat = open_chat(Spec(), Sampling(length=160))
    poller = watch(chat)
    poller.start()
    app = TokenhudApp(chat)
    async with app.run_test(size=(120, 34)) as pilot:
        for turns, question in enumerate(QUESTIONS, start=1):
            app.screen.send(question)  # type: ignore[attr-defined]
            while len(chat.exchanges) < turns or chat.busy:
                await pilot.pause(0.1)
        await pilot.pause(1.0)
        app.save_screenshot(PICTURE.name, str(PICTURE.parent))
    poller.stop()


def main() -> None:
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        os.environ["TOKENHUD_HOME"] = home
        asyncio.run(take_picture())


if __name__ == "__main__":
    main()
