"""The slash commands that run an experiment on the model in use: /bench, /sweep, /replay and
/compare."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.events import EngineError
from ...engines.options import Sampling, chosen_here
from ...sessions.bench.asking import Experimental, benchmark, described, replay_chat, replay_plan
from ...sessions.bench.result import Result
from ...sessions.chat import Chat
from ...sessions.library import find_session
from ...sessions.places import session_folder
from ..headless.experiment_words import WIDTH, asked_runs, drawn
from . import grammar
from .compare import COMPARE
from .experiment_job import RUNS, experiment
from .grammar import Command, Reply, Said, Value

if TYPE_CHECKING:
    from ...sessions.bench.written import Report  # here: the chat starts without it

LENGTH = 64  # most tokens of an answer to a built-in prompt
WITH = re.compile(r"(?:^|\s)with(?:\s|$)", re.IGNORECASE)


def bench_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    def planned() -> tuple[Experimental, int]:
        prompts, texts, runs = _split(values)
        plain = [] if chat.spec.drafter == "plain" else ["plain"]
        named = texts or [*plain, described(chat.spec)]
        return benchmark(prompts, (), named, chat.spec, _short(chat), chat.system), runs

    return experiment(chat, planned, charted)


def sweep_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    def planned() -> tuple[Experimental, int]:
        setting = str(values[0]), str(values[1])
        prompts, texts, runs = _split(values[2:])
        return benchmark(prompts, (), texts, chat.spec, _short(chat), chat.system, setting), runs

    return experiment(chat, planned, charted)


def replay_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    def planned() -> tuple[Experimental, int]:
        whole = _whole(values)
        files, texts, runs = ([], [], RUNS) if whole else _split(values)
        if whole is None and not files and (not chat.log.left_out or chat.log.path is None):
            return replay_chat(chat.log.records, texts, chat.spec), runs
        named = find_session(" ".join(files), session_folder()) if files else whole
        path = named or chat.log.path  # of a long log memory has the end alone
        assert path
        plan, cases, _ = replay_plan(path, texts, chosen_here(chat.spec))
        return (plan, cases), runs

    return experiment(chat, planned, charted)


def _whole(values: tuple[Value, ...]) -> Path | None:
    """The session that all of the line names, also one in whose name a "with" stands."""
    try:
        return find_session(str(values[0]), session_folder()) if values else None
    except EngineError:
        return None


def charted(found: Result) -> Generator[Said, None, Report]:
    """The tables that a person looks at first, and the first chart."""
    from ...sessions.bench.written import Report

    report = Report(found)
    yield report.as_text(width=WIDTH)
    yield from map(drawn, report.charts[:1])
    return report


def _short(chat: Chat) -> Sampling:
    sampling = replace(chat.sampling, num_beams=1, seed=chat.sampling.seed or 0)
    return replace(sampling, length=min(sampling.length, LENGTH))


def _split(values: tuple[Value, ...]) -> tuple[list[str], list[str], int]:
    """What stands before `with`, the methods between commas after it, and how many passes. Raises
    EngineError."""
    text, runs = asked_runs(str(values[0]) if values else "", RUNS)
    before, *after = WITH.split(text, maxsplit=1)
    methods = [each.strip() for each in "".join(after).split(",") if each.strip()]
    return before.replace(",", " ").split(), methods, runs


METHODS = "PROMPT… with METHOD, … runs=N"
BENCHES: tuple[Command, ...] = (
    Command(
        "bench",
        "methods by prompts, in turns: S1 to S6, dialogue, code, rewrite, … or a file",
        bench_command,
        (grammar.text(METHODS, "names of prompts, then methods after with", optional=True),),
        "/bench code rewrite with plain, suffix, speculative gamma=4",
        idle=True,
    ),
    Command(
        "sweep",
        "one setting at several values, by the same prompts",
        sweep_command,
        (
            grammar.any_word("NAME", "a setting such as gamma"),
            grammar.any_word("N,N,…", "its values between commas"),
            grammar.text(METHODS, "names of prompts, then methods after with", optional=True),
        ),
        "/sweep gamma 2,4,6,8 code with suffix",
        idle=True,
    ),
    Command(
        "replay",
        "ask this chat's messages again, or those of a saved one",
        replay_command,
        (grammar.text("NAME with METHOD, … runs=N", "a session, then methods after with", True),),
        "/replay with plain, suffix",
        idle=True,
    ),
    COMPARE,
)
