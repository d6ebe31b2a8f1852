"""Every slash command, declared once. What only a screen can do for one: see actions.py."""

from __future__ import annotations

from ...engines.options import Sampling, Spec
from ...sessions.chat import Chat
from . import completing, grammar
from . import session as session_commands
from .bench import BENCHES
from .choices import completed
from .completing import Suggestion
from .copy import COPY
from .decoding import DECODING
from .doctor import DOCTOR
from .grammar import Argument, Call, Command, Problem, Reply, Text, Value, number, whole
from .help import HELP
from .library import SESSIONS
from .profile import PROFILES
from .race import RACE
from .remote import REMOTE, for_servers
from .results import RESULTS
from .settings import change, setting
from .trial import TRIALS
from .view import VIEW
from .weights import WEIGHTS_COMMANDS


def parse(line: str) -> Text | Call | Problem:
    return grammar.parse(line, COMMANDS)


def run(chat: Chat, call: Call) -> Reply:
    return grammar.run(chat, call)


def suggest(line: str, chat: Chat) -> list[Suggestion]:
    return completing.suggest(line, COMMANDS, chat)


def hint(line: str, chat: Chat) -> str:
    return completing.hint(line, COMMANDS, chat)


PROCESSORS: dict[str, tuple[tuple[str, Argument], ...]] = {
    "greedy": (),
    "multinomial": (("temperature", grammar.option(Sampling, "temperature", "T")),),
    "topk": (
        ("temperature", grammar.option(Sampling, "temperature", "T")),
        ("top_k", whole("K", 1, 10_000_000)),
    ),
    "nucleus": (
        ("temperature", grammar.option(Sampling, "temperature", "T")),
        ("top_p", number("P", 0, 1)),
    ),
    "topknucleus": (
        ("temperature", grammar.option(Sampling, "temperature", "T")),
        ("top_k", whole("K", 1, 10_000_000)),
        ("top_p", number("P", 0, 1)),
    ),
}
NO_FILTER: dict[str, Value] = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def processor(chat: Chat, values: tuple[Value, ...]) -> Reply:
    name, rest = str(values[0]), str(values[1]).split() if len(values) > 1 else []
    wanted = PROCESSORS[name]
    usage = " ".join(["/processor", name, *(argument.name for _, argument in wanted)])
    if name == "greedy" and len(rest) == 1:
        rest = []  # the source documents write "greedy 1.0"; a greedy pick has no temperature
    if len(rest) != len(wanted):
        return Reply(f"It is {usage}.", ok=False)
    try:
        given = {
            field: argument.parse(text)
            for (field, argument), text in zip(wanted, rest, strict=True)
        }
    except grammar.ArgumentError as error:
        return Reply(f"{usage} takes {error}.", ok=False)
    return change(chat, NO_FILTER | given)


def system(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        now = "the template's own" if chat.system is None else repr(chat.system)
        return Reply(f"The system text is {now}. /system TEXT sets it, /system default resets it.")
    chat.set("system", None if values[0] == "default" else values[0])
    return Reply("The system text is changed, from the next answer.")


def clear(chat: Chat, _: tuple[Value, ...]) -> Reply:
    chat.clear()
    return Reply("The conversation starts afresh; settings and log stay.", "clear")


def quit_chat(_chat: Chat, _: tuple[Value, ...]) -> Reply:
    return Reply("", "quit")


LOCAL: tuple[Command, ...] = (
    *DECODING,
    *TRIALS,
    *RACE,
    *BENCHES,
    *WEIGHTS_COMMANDS,
    setting(Sampling, "length", "/length 100"),
    Command(
        "processor",
        "how tokens are picked: greedy, multinomial T, topk T K, nucleus T P, topknucleus T K P",
        processor,
        (
            grammar.word("NAME", tuple(PROCESSORS)),
            grammar.text("ARGS", "its numbers", optional=True),
        ),
        "/processor nucleus 0.8 0.9",
        now=lambda chat: chat.sampling.processor,
    ),
    setting(Sampling, "temperature", "/temperature 0.7"),
    setting(Sampling, "top_p", "/top_p 0.9"),
    setting(Sampling, "top_k", "/top_k 40"),
    setting(Sampling, "min_p", "/min_p 0.05"),
    setting(Sampling, "repetition_penalty", "/repetition_penalty 1.1"),
    setting(Sampling, "seed", "/seed 42"),
    Command(
        "system",
        "the system text, or the template's own",
        system,
        (grammar.text("TEXT", "a text, or default", optional=True),),
        "/system Answer in one sentence.",
    ),
    setting(Sampling, "ignore_eos", "/ignore_eos on"),
    setting(Spec, "context", "/context 4096"),
    setting(Spec, "threads", "/threads 2"),
    Command("undo", "take the last turn back", session_commands.undo, idle=True, example="/undo"),
    Command("retry", "answer the last message again", session_commands.retry, idle=True),
    Command("clear", "start the conversation afresh", clear, idle=True, example="/clear"),
    Command(
        "save",
        "name this session, or write it to a path",
        session_commands.save,
        (grammar.text("NAME", "a name, or an absolute path", optional=True),),
        "/save first-chat",
        idle=True,
    ),
    Command(
        "load",
        "go on with a saved session, or list them",
        session_commands.load,
        (grammar.text("NAME", "a session's name", optional=True),),
        "/load first-chat",
        idle=True,
    ),
    *SESSIONS,
    *RESULTS,
    *REMOTE,
    *VIEW,
    *PROFILES,
    *DOCTOR,
    *COPY,
    *HELP,
    Command("quit", "save and leave", quit_chat, aliases=("exit", "bye")),
)

COMMANDS = for_servers(completed(LOCAL))
