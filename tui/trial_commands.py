"""The slash commands that answer the last message again: /verify and /tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..engines.events import EngineError
from ..engines.options import DRAFTERS, Spec
from ..sessions import figures
from ..sessions.chat import Chat
from ..sessions.clean import one_line
from ..sessions.trials import CancelledError
from ..sessions.tune import GAMMAS, Point, tune
from ..sessions.verify import Verified, verify
from . import grammar
from .grammar import Command, Reply, Told, Value


def verify_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    drafters = (str(values[0]),) if values else DRAFTERS[1:]
    return _started(chat, lambda: _verify(chat, drafters))


def tune_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    gammas: Sequence[int] = GAMMAS
    if values:
        try:
            words = str(values[0]).replace(",", " ").split()
            gammas = sorted({int(str(_GAMMA.parse(each))) for each in words})
        except grammar.ArgumentError as error:
            return Reply(f"/tune takes numbers between commas, each {error}.", ok=False)
    return _started(chat, lambda: _tune(chat, gammas))


def verdict_line(each: Verified) -> str:
    """One drafter's verdict as a sentence."""
    kept = f"{each.accepted} of {each.drafted} drafts kept"
    match each.verdict:
        case "identical":
            return f"{each.drafter:12} identical · {each.tokens} tokens · {kept}"
        case "skipped":
            return f"{each.drafter:12} skipped · {one_line(each.reason)}"
        case _ if each.position is None:
            return f"{each.drafter:12} different · it ended elsewhere · {kept}"
        case _:
            where = f"from token {each.position + 1} on, where the lead was {each.margin:.2g}"
            return f"{each.drafter:12} {each.verdict} · {where} · {kept}"


def _started(chat: Chat, job: Callable[[], Told]) -> Reply:
    if not chat.exchanges:
        return Reply("Nothing was sent yet that could be tried. Send a message first.", ok=False)
    return Reply("", job=lambda: told(job()))


def told(job: Told) -> Told:
    """`job`, whose faults are sentences too."""
    try:
        yield from job
    except EngineError as error:
        yield str(error)
    except CancelledError:
        yield "Cancelled."


def _verify(chat: Chat, drafters: Sequence[str]) -> Told:
    yield "The last message is answered plain and with each drafter; the text must be the same."
    for each in verify(chat, drafters):
        yield verdict_line(each) if isinstance(each, Verified) else each


def _tune(chat: Chat, gammas: Sequence[int]) -> Told:
    points = yield from tune(chat, gammas)
    yield tune_table(chat.spec.drafter, points)


def tune_table(drafter: str, points: Sequence[Point]) -> str:
    """γ by γ, the predicted speed-up beside the measured one, and what follows from it."""
    rows = [f"{drafter}: γ · accepted · tokens a pass · speed-up predicted · measured · tok/s"]
    rows += [
        f"γ {each.gamma:2}  {figures.percent(each.acceptance):>5}"
        f"  {figures.factor(each.mean_accepted_length):>5}"
        f"  {figures.factor(each.predicted):>6}×  {figures.factor(each.measured):>6}×"
        f"  {figures.rate(each.decode_rate):>6}"
        for each in points
    ]
    best = max(points, key=lambda each: each.measured or 0)
    if (best.measured or 0) > 1:
        rows.append(f"Best here: γ {best.gamma}. /gamma {best.gamma} sets it.")
    else:
        rows.append("Plain decoding was faster than all of them: /autoregressive.")
    return "\n".join(rows)


_GAMMA = grammar.option(Spec, "gamma", "N")
TRIALS: tuple[Command, ...] = (
    Command(
        "verify",
        "answer the last message plain and with each drafter, and compare token by token",
        verify_command,
        (grammar.word("DRAFTER", DRAFTERS[1:], optional=True),),
        "/verify",
        idle=True,
    ),
    Command(
        "tune",
        "try several γ on the last message: predicted and measured speed-up",
        tune_command,
        (grammar.text("N,N,…", f"numbers such as {', '.join(map(str, GAMMAS))}", optional=True),),
        "/tune 2,4,8",
        idle=True,
    ),
)
