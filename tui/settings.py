"""Options as commands: shown without an argument, set with one."""

from __future__ import annotations

from dataclasses import fields

from ..engines.options import OptionError, Options, Sampling, Spec, limits
from ..sessions.chat import Chat
from . import grammar
from .grammar import Command, Reply, Value


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


def change(chat: Chat, wanted: dict[str, Value]) -> Reply:
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
    owner: Spec | Sampling = chat.spec if _is_spec(name) else chat.sampling
    value = getattr(owner, name)
    return str(_off(type(owner), name) if value is None else value)


def _is_spec(name: str) -> bool:
    return name in {each.name for each in fields(Spec)}


def _off(options: type[Spec | Sampling], name: str) -> str:
    return str(limits(options, name)["off"])


def _usage_name(options: type[Options], field: str) -> str:
    off = limits(options, field).get("off")
    return f"N|{off}" if off else "X" if "float" in options.__annotations__[field] else "N"
