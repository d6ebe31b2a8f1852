"""The slash commands that run an experiment on the model in use: /bench, /sweep, /replay and
/compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..engines.events import EngineError, Progress
from ..engines.options import OptionError, Sampling, chosen_here
from ..sessions import figures
from ..sessions.bench.asking import benchmark, described, replay_chat, replay_plan
from ..sessions.bench.comparison import compare
from ..sessions.bench.experiment import Doing
from ..sessions.bench.folder import new_name
from ..sessions.bench.plan import Case, Plan, options, weights
from ..sessions.bench.result import Result, read_result
from ..sessions.bench.running import run_plan
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.library import find_session
from ..sessions.places import is_there, results_folder, session_folder
from ..sessions.trials import CancelledError
from . import grammar
from .experiment_words import doing, notice
from .grammar import Command, Reply, Said, Told, Value
from .quant_commands import compare_command as compare_quant
from .trial_commands import told

RUNS, WARMUP = 3, 1  # a person waits
WIDTH = 60  # columns of a table beside the HUD
LENGTH = 64  # most tokens of an answer to a built-in prompt
THRESHOLD = 0.1
Planned = Callable[[], tuple[Plan, tuple[Case, ...]]]
WITH = re.compile(r"(?:^|\s)with(?:\s|$)", re.IGNORECASE)


def bench_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    prompts, texts = _split(values)
    plain = [] if chat.spec.drafter == "plain" else ["plain"]
    named = texts or [*plain, described(chat.spec)]
    return _run(chat, lambda: benchmark(prompts, (), named, chat.spec, _short(chat), chat.system))


def sweep_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    setting = str(values[0]), str(values[1])
    prompts, texts = _split(values[2:])
    return _run(
        chat,
        lambda: benchmark(prompts, (), texts, chat.spec, _short(chat), chat.system, setting),
    )


def replay_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    files, texts = _split(values)

    def planned() -> tuple[Plan, tuple[Case, ...]]:
        if not files and (not chat.log.left_out or chat.log.path is None):
            return replay_chat(chat.log.records, texts, chat.spec)
        named = find_session(" ".join(files), session_folder()) if files else None
        path = named or chat.log.path  # of a long log memory has the end alone
        assert path
        plan, cases, _ = replay_plan(path, texts, chosen_here(chat.spec))
        return plan, cases

    return _run(chat, planned)


def compare_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    text = str(values[0]).strip()
    if text.lower() == "quant":
        return compare_quant(chat, ())
    sides = [each.strip() for each in (text.split(",") if "," in text else text.split())]
    if len(sides) != 2:
        return Reply("It is /compare quant, or /compare A, B: two methods or results.", ok=False)
    try:
        paths = [_result_path(each) for each in sides]
        if all(paths):
            there, here = (read_result(each) for each in paths if each)
            comparison = compare(here, there, "decode_tps", THRESHOLD)
            from ..sessions.bench.written import Report

            return Reply(Report(here, comparison).as_text(width=WIDTH))
    except EngineError as error:
        return Reply(str(error), ok=False)
    return _run(chat, lambda: _two(replay_chat(chat.log.records, sides, chat.spec)), judged=True)


def _two(planned: tuple[Plan, tuple[Case, ...]]) -> tuple[Plan, tuple[Case, ...]]:
    """Raises EngineError for a name that stands for several methods."""
    if len(planned[0].methods) != 2:
        raise EngineError("/compare takes two methods.", "/bench CODE with A, B, C takes more.")
    return planned


def _run(chat: Chat, planned: Planned, judged: bool = False) -> Reply:
    """The plan is made at once, so that what is mistyped is told before anything runs."""
    try:
        plan, cases = planned()
    except EngineError as error:
        return Reply(str(error), ok=False)
    plan = replace(plan, runs=RUNS, warmup=WARMUP)
    return Reply("", job=lambda: told(_ran(chat, plan, cases, judged)))


def _ran(chat: Chat, plan: Plan, cases: Sequence[Case], judged: bool) -> Told:
    from ..sessions.bench.written import Report  # here: the chat starts without it

    yield _begin(plan, cases)
    folder = new_name(plan.purpose)
    try:
        found = yield from _measured(chat, plan, cases, folder)
    except CancelledError:
        yield f"Cancelled; what was measured is kept in {one_line(str(folder))}"
        return
    finally:
        yield from _reloaded(chat, plan, cases)
    names = [each.name for each in plan.methods]
    verdict = compare(found, found, "decode_tps", THRESHOLD, names[1], names[0]) if judged else None
    report = Report(found, verdict)
    yield report.as_text(width=WIDTH)
    yield f"Kept in {one_line(str(report.write()[0].parent))}"


def _measured(
    chat: Chat, plan: Plan, cases: Sequence[Case], folder: Path
) -> Generator[Said, None, Result]:
    running = run_plan(chat.engine, plan, cases, folder)
    while True:
        try:
            step = next(running)
        except StopIteration as done:
            found: Result = done.value
            return found
        if isinstance(step, Doing):
            yield doing(step)
        elif sentence := notice(step, plan):
            yield sentence


def _reloaded(chat: Chat, plan: Plan, cases: Sequence[Case]) -> Iterator[Said]:
    """Makes ready what the chat uses, where something else was loaded."""
    try:
        used = {weights(options(plan, case, each)[0]) for case in cases for each in plan.methods}
    except OptionError:  # told by the answer
        used = set()
    if used != {weights(chat.spec)}:
        yield from (each for each in chat.load() if isinstance(each, Progress))


def _begin(plan: Plan, cases: Sequence[Case]) -> str:
    prompts = figures.counted(sum(not each.skip for each in cases), "prompt")
    ways = figures.counted(len(plan.methods), "method")
    return (
        f"{prompts} by {ways}, {plan.runs} times in turns after a warm-up. It takes minutes; "
        "Esc or Ctrl+C ends it."
    )


def _short(chat: Chat) -> Sampling:
    sampling = replace(chat.sampling, num_beams=1, seed=chat.sampling.seed or 0)
    return replace(sampling, length=min(sampling.length, LENGTH))


def _split(values: tuple[Value, ...]) -> tuple[list[str], list[str]]:
    """What stands before `with`, and the methods between commas after it."""
    if not values:
        return [], []
    before, *after = WITH.split(str(values[0]), maxsplit=1)
    methods = [each.strip() for each in "".join(after).split(",") if each.strip()]
    return before.replace(",", " ").split(), methods


def _result_path(text: str) -> Path | None:
    """What names a folder or file as a path does, or is called as kept results are."""
    if "/" in text:
        return Path(text).expanduser() if is_there(text) else None
    named = results_folder() / text
    return named if is_there(str(named)) else None


METHODS = "PROMPT… with METHOD, …"
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
        (grammar.text("NAME with METHOD, …", "a session, then methods after with", True),),
        "/replay with plain, suffix",
        idle=True,
    ),
    Command(
        "compare",
        "two methods on this chat, two results, or quant: the weights in every form",
        compare_command,
        (grammar.text("quant|A, B", "quant, or two methods or result folders"),),
        "/compare plain, suffix",
        idle=True,
    ),
)
