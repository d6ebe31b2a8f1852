"""Options as commands: shown without an argument, set with one, and the line that sets each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...engines.options import OptionError, Options, limits
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.profiles import spelled, value_of
from . import grammar
from .grammar import Command, Reply, Value
from .remote import HERE

LONGEST = 60  # characters of a value that is told


def setting(options: type[Options], field: str, example: str) -> Command:
    """A command that shows one option, or sets it from the next answer on."""
    argument = grammar.option(options, field, _usage_name(options, field), optional=True)

    def run_setting(chat: Chat, values: tuple[Value, ...]) -> Reply:
        if not values:
            now = shown(chat, field)
            return Reply(f"{field} is {now}; it takes {argument.takes}. Example: {example}")
        return change(chat, {field: values[0]})

    summary = limits(options, field)["about"]
    return Command(
        field, summary, run_setting, (argument,), example, now=lambda chat: shown(chat, field)
    )


def change(chat: Chat, wanted: Mapping[str, Value]) -> Reply:
    """Sets several options and tells old → new for each that differs."""
    told = []
    try:
        for name, value in wanted.items():
            old = shown(chat, name)
            chat.set(name, value)
            if shown(chat, name) != old or len(wanted) == 1:
                told.append(f"{name} {old} → {shown(chat, name)}")
    except OptionError as error:
        return Reply(str(error), ok=False)
    if not told:
        return Reply("That is what is set already.")
    return Reply(f"{', '.join(told)}, from the next answer.")


def shown(chat: Chat, name: str) -> str:
    value = value_of(name, chat.spec, chat.sampling, chat.system)
    return one_line(written(name, value), LONGEST)


def written(name: str, value: Value) -> str:
    """As the line of the setting takes it."""
    return HERE if name == "url" and not value else spelled(name, value)


def listed(settings: Mapping[str, Value]) -> str:
    """ "length 100, seed random", in a line."""
    told = (f"{name} {one_line(written(name, value), LONGEST)}" for name, value in settings.items())
    return ", ".join(told) or "nothing"


# What sets a field where it isn't `/FIELD VALUE`.
LINES: Mapping[str, Callable[[Chat, str], str]] = {
    "url": lambda _, value: f"/engine {value}",
    "target": lambda _, value: f"/runtime {value}",
    "drafter": lambda _, value: f"/{value}",
    "gamma_policy": lambda chat, value: f"/gamma {chat.spec.gamma if value == 'fixed' else value}",
    "draft_model": lambda _, value: f"/drafter {value}",
    "ngram_n": lambda chat, value: f"/ngram_storage {chat.spec.ngram_storage} {value}",
    "num_beams": lambda _, value: f"/beam {value}",
    "beam_top_k": lambda chat, value: f"/beam {chat.sampling.num_beams} {value}",
}


def line(chat: Chat, name: str, value: str) -> str:
    """What a person types to set `name` to `value`, both as they are written."""
    make = LINES.get(name)
    return make(chat, value) if make else f"/{name} {value}"


def _usage_name(options: type[Options], field: str) -> str:
    off = limits(options, field).get("off")
    return f"N|{off}" if off else "X" if "float" in options.__annotations__[field] else "N"
