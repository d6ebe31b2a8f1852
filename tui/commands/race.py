"""/race: two methods side by side on one message."""

from __future__ import annotations

from ...engines.events import EngineError
from ...sessions import figures
from ...sessions.bench.asking import described
from ...sessions.chat import Chat
from ...sessions.race import ROUNDS, Race, race_between, run_race
from ...sessions.race_view import Outcome, RaceMeter
from ...sessions.trials import CancelledError
from ..headless.experiment_words import asked_runs, setting_lines, sides
from . import grammar
from .grammar import Command, Live, Reply, Told, Value
from .remote import NO_TOKENS
from .trial import same_words, told

PLAIN, USUAL = "plain", "suffix"


def race_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if chat.spec.url:
        return Reply(NO_TOKENS, ok=False)
    try:
        text, rounds = asked_runs(str(values[0]) if values else "", ROUNDS)
        race = race_between(chat, sides(text) or _usual(chat), rounds)
    except EngineError as error:
        return Reply(str(error), ok=False)
    since = len(chat.log.records)
    about = f"{since} {race.rounds} {', '.join(race.names)}"
    return Reply("", f"open:race:{about}", job=lambda: told(_raced(chat, race, since)))


def race_about(argument: str) -> tuple[int, int, tuple[str, str]]:
    """What its screen is told of a race: where it begins in the log, its rounds, its methods."""
    since, rounds, names = argument.split(" ", 2)
    one, other = names.split(", ")
    return int(since), int(rounds), (one, other)


def ratio_line(outcome: Outcome) -> str:
    """The second method over the first, with the interval."""
    one, other = outcome.names
    found = outcome.ratio
    rounds = figures.counted(found.n_candidate, "round")
    if found.value is None:
        return f"{other} and {one}: no ratio, as the answer came in one step"
    told = f"{other} is {figures.factor(found.value)} times {one}"
    if found.low is None or found.high is None:
        return f"{told} ({rounds} in turns)"
    low, high = figures.factor(found.low), figures.factor(found.high)
    noise = "" if outcome.winner else ", no more than noise"
    return f"{told} ({low}–{high}, {rounds} in turns){noise}"


def winner_lines(chat: Chat, outcome: Outcome) -> list[str]:
    """The commands that set the faster method; none where neither is, or it is set already."""
    return setting_lines(outcome.winner, chat.spec) if outcome.winner else []


def _usual(chat: Chat) -> list[str]:
    used = described(chat.spec)
    return [PLAIN, USUAL if chat.spec.drafter == PLAIN else used]


def _raced(chat: Chat, race: Race, since: int) -> Told:
    meter = RaceMeter(race.names, race.rounds)
    read = since
    cancelled = False
    asked = "The last message" if race.turn_id is not None else "A built-in message"
    yield f"{asked} is answered by {race.names[0]} and {race.names[1]}, in turns."
    try:
        for step in run_race(chat, race):
            yield step
            new = chat.log.records[read:]
            read += len(new)
            meter.add_all(new)
            if outcome := meter.outcome():
                yield Live(ratio_line(outcome))
    except CancelledError:
        cancelled = True
    meter.add_all(chat.log.records[read:])
    yield Live(_verdict(chat, meter.outcome(), cancelled))


def _verdict(chat: Chat, outcome: Outcome | None, cancelled: bool) -> str:
    early = "Cancelled" if cancelled else ""
    if outcome is None:
        return f"{early or 'Over'}: too few rounds for a verdict."
    parts = [early, ratio_line(outcome)]
    parts += [same_words(outcome.words)] if outcome.words else []
    if lines := winner_lines(chat, outcome):
        parts.append(f"{' and '.join(lines)} sets it")
    return " · ".join(filter(None, parts))


RACE: tuple[Command, ...] = (
    Command(
        "race",
        "two methods side by side on the last message: which is faster, and are the words the same",
        race_command,
        (grammar.text("A, B [runs=N]", "two methods, such as plain, suffix", optional=True),),
        "/race plain, speculative gamma=6",
        idle=True,
    ),
)
