"""The slash commands that answer the last message again: /verify and /tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...engines.events import EngineError
from ...engines.options import DRAFTERS, Spec
from ...sessions import figures
from ...sessions.bench.chart import Chart, Series
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.trials import CancelledError
from ...sessions.tune import GAMMAS, Point, Tuning
from ...sessions.verify import Verified, verify
from ..headless.experiment_words import drawn
from . import grammar
from .grammar import Command, Live, Reply, Told, Value
from .jobs import CANCELLED

FEWEST = 2  # points of a chart
ENOUGH = 16  # tokens of an answer, from which on a γ is recommended
TOO_SHORT = f"The answer has under {ENOUGH} tokens: too few to choose γ by. Ask for a longer one."


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
    if each.verdict == "skipped":
        return f"{each.drafter:12} skipped · {one_line(each.reason)}"
    kept = f"{each.accepted} of {each.drafted} drafts kept"
    return f"{each.drafter:12} {same_words(each)} · {kept}"


def same_words(each: Verified) -> str:
    """Whether the text is that of plain decoding, or where it first differs and by how little."""
    if each.verdict == "identical":
        return f"identical · {each.tokens} tokens"
    if each.position is None:
        return "different · it ended elsewhere"
    where = f"from token {each.position + 1} on, where the lead was {each.margin:.2g}"
    return f"{each.verdict} · {where}"


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
        yield f"{CANCELLED}."


def _verify(chat: Chat, drafters: Sequence[str]) -> Told:
    yield "The last message is answered plain and with each drafter; the text must be the same."
    for each in verify(chat, drafters):
        yield verdict_line(each) if isinstance(each, Verified) else each


def _tune(chat: Chat, gammas: Sequence[int]) -> Told:
    tuning = Tuning(chat, gammas)
    for step in tuning.run():
        yield step
        points = tuning.points
        if any(each.measured for each in points):
            yield Live("\n".join(_rows(chat.spec.drafter, points)))
    points = tuning.points
    yield Live(tune_table(chat.spec.drafter, points))
    if len(points) >= FEWEST:
        yield drawn(tune_chart(points))


def tune_table(drafter: str, points: Sequence[Point]) -> str:
    """γ by γ, the predicted speed-up beside the measured one, and what follows from it."""
    rows = _rows(drafter, points)
    if max(each.tokens for each in points) < ENOUGH:
        return "\n".join([*rows, TOO_SHORT])
    best = max(points, key=lambda each: each.measured or 0)
    if (best.measured or 0) > 1:
        rows.append(f"Best here: γ {best.gamma}. /gamma {best.gamma} sets it.")
    else:
        rows.append("Plain decoding was faster than all of them: /autoregressive.")
    return "\n".join(rows)


def tune_chart(points: Sequence[Point]) -> Chart:
    xs = [float(each.gamma) for each in points]
    best = max(points, key=lambda each: each.measured or 0)
    return Chart(
        "Speed-up over plain decoding by γ",
        "γ, drafted tokens a step",
        "×",
        [
            Series("measured", xs, [each.measured for each in points]),
            Series("predicted", xs, [each.predicted for each in points], computed=True),
        ],
        best=(best.gamma, best.measured) if best.measured else None,
    )


def _rows(drafter: str, points: Sequence[Point]) -> list[str]:
    return [
        f"{drafter}: γ · accepted · tokens a pass · speed-up predicted · measured · tok/s",
        *(
            f"γ {each.gamma:2}  {figures.percent(each.acceptance):>5}"
            f"  {figures.factor(each.mean_accepted_length):>5}"
            f"  {figures.factor(each.predicted):>6}×  {figures.factor(each.measured):>6}×"
            f"  {figures.rate(each.decode_rate):>6}"
            for each in points
        ),
    ]


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
