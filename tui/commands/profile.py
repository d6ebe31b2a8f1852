"""/profile and /settings: what is set together, and what is set once and for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ...engines.events import EngineError
from ...engines.options import Sampling, Spec
from ...engines.remote_kinds import CHOICES, NEUTRAL, SHARED
from ...sessions.chat import Chat
from ...sessions.clean import one_line
from ...sessions.config import SYSTEM, VERBS, Config, config_path, profile_name_problem, read_config
from ...sessions.config_file import delete_profile, save_profile, save_settings
from ...sessions.profiles import BUILT_IN, differing, profile, profiles, value_of
from ..screens.settings_rows import as_text, rows
from . import grammar
from .grammar import Argument, Choice, Choices, Command, Reply, Told, Value
from .remote import BACK, engine, kind_of
from .settings import change, listed


def profile_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    config = read_config(config_path())
    verb, name = (str(values[0]) if values else ""), (str(values[1]) if len(values) > 1 else "")
    if verb and (verb in VERBS) != bool(name):
        return Reply(f"It is /profile {verb}{'' if name else ' NAME'}.", ok=False)
    try:
        match verb:
            case "":
                return Reply(profiles_text(chat, config))
            case "save":
                return _save(chat, config, name)
            case "delete":
                return _delete(config, name)
            case _:
                wanted = profile(config, verb)
                return _apply(chat, verb, wanted) if wanted else _empty(config, verb)
    except EngineError as error:
        return Reply(str(error), ok=False)


def settings_command(chat: Chat, values: tuple[Value, ...]) -> Reply:
    if not values:
        return Reply(as_text(rows(chat)), "show:settings:")
    path = config_path()
    wanted = differing(chat.spec, chat.sampling, chat.system)
    try:
        save_settings(path, wanted)
    except EngineError as error:
        return Reply(str(error), ok=False)
    told = listed(wanted) if wanted else "all as built in"
    return Reply(f"Chats begin with {told}, kept in {one_line(str(path))}.")


def in_force(chat: Chat, wanted: Mapping[str, Value]) -> bool:
    """Whether all that a profile sets is as it sets it; never, where it sets nothing."""
    now = {name: value_of(name, chat.spec, chat.sampling, chat.system) for name in wanted}
    return bool(wanted) and now == wanted


def profiles_text(chat: Chat, config: Config) -> str:
    known = profiles(config)
    width = max(map(len, known))
    told = []
    for name, wanted in known.items():
        mark = "*" if in_force(chat, wanted) else " "
        told.append(f"{mark} {name:{width}}  {listed(wanted)}")
    told.append(f"* is in force. Own ones are kept in {one_line(str(config.path))}.")
    return "\n".join([*told, *config.problems])


def _apply(chat: Chat, name: str, wanted: Mapping[str, Value]) -> Reply:
    """Sets what the profile names and nothing else. Only its `url` changes the place."""
    url = wanted.get("url", chat.spec.url)
    moves = url != chat.spec.url or wanted.get("model", chat.spec.model) != chat.spec.model
    if url and "url" in wanted and moves:
        return Reply("", job=partial(_move, chat, name, wanted))
    if url:
        return _on_server(chat, name, wanted)
    if chat.spec.url:  # the server's model is none of this machine
        wanted = {"model": Spec().model, **wanted}
    return _named(name, change(chat, wanted))


def _move(chat: Chat, name: str, wanted: Mapping[str, Value]) -> Told:
    """What the server takes is known once it has answered."""
    place = tuple(wanted[each] for each in ("url", "model") if each in wanted)
    reply = engine(chat, place)
    if reply.job:
        yield from reply.job()
    if told := _on_server(chat, name, wanted).text:
        yield told


def _on_server(chat: Chat, name: str, wanted: Mapping[str, Value]) -> Reply:
    """Sets what the server takes, and says what it doesn't."""
    place = {"url", "model"} if "url" in wanted else {"url"}
    taken = {each: value for each, value in wanted.items() if _takes(chat, each, value)}
    left_out = [each for each in wanted if each not in {*taken, *place}]
    reply = _named(name, change(chat, taken)) if taken or not left_out else Reply("")
    if not left_out:
        return reply
    told = f"The server decides, so left out: {', '.join(left_out)}."
    back = "" if "url" in wanted else f" {BACK}"
    return Reply(f"{reply.text} {told}{back}".strip(), ok=reply.ok)


def _takes(chat: Chat, name: str, value: Value) -> bool:
    kind = kind_of(chat)
    if name in (*SHARED, "length", SYSTEM, *(kind.takes if kind else CHOICES)):
        return True
    return hasattr(Sampling, name) and value == getattr(NEUTRAL, name)


def _empty(config: Config, name: str) -> Reply:
    """Why a profile sets nothing: what the file says is left out."""
    why = [each for each in config.problems if f"[profiles.{name}]" in each]
    why = why or [f"There is nothing in it in {one_line(str(config.path))}."]
    return Reply("\n".join([f"Profile {name} sets nothing.", *why]), ok=False)


def _save(chat: Chat, config: Config, name: str) -> Reply:
    if problem := profile_name_problem(name):
        return Reply(f"{one_line(name, 40)!r} {problem}. Example: /profile save mine", ok=False)
    wanted = differing(chat.spec, chat.sampling, chat.system, besides=config.settings)
    if not wanted:
        return Reply("All is as built in, so there is nothing to save.", ok=False)
    save_profile(config.path, name, wanted)
    again = " in place of what it was" if name in profiles(config) else ""
    return Reply(f"Profile {name} is saved{again}: {listed(wanted)}.")


def _delete(config: Config, name: str) -> Reply:
    wanted = profile(config, name)
    if name not in config.profiles:
        return Reply(f"The profile {name} is built in; it stays.", ok=False)
    delete_profile(config.path, name)
    told = f"Profile {name} is deleted; it was: {listed(wanted)}."
    if name in BUILT_IN:
        told += f" The built-in one holds again: {listed(BUILT_IN[name])}."
    return Reply(told)


def _named(name: str, reply: Reply) -> Reply:
    return Reply(f"Profile {name}: {reply.text}", ok=reply.ok)


def _names_and_verbs(_chat: Chat, typed: Sequence[str]) -> Choices:
    verbs = (Choice("save", "what is set now"), Choice("delete", "one of your own"))
    return Choices(typed[-1], [*_choices(profiles(read_config(config_path()))), *verbs])


def _own_names(_chat: Chat, typed: Sequence[str]) -> Choices:
    own = read_config(config_path()).profiles if typed[0] in VERBS else {}
    return Choices(typed[-1], _choices(own), free=True)


def _choices(known: Mapping[str, Mapping[str, Value]]) -> list[Choice]:
    return [Choice(name, listed(wanted)) for name, wanted in known.items()]


PROFILES: tuple[Command, ...] = (
    Command(
        "profile",
        "settings that are put in force together: speed, quality, your own",
        profile_command,
        (
            Argument(
                "NAME|save|delete",
                "a profile's name, or save or delete before one",
                str,
                optional=True,
                complete=_names_and_verbs,
            ),
            Argument("NAME", "a profile's name", str, optional=True, complete=_own_names),
        ),
        "/profile speed",
    ),
    Command(
        "settings",
        "everything that can be set; save makes all of it the way chats begin",
        settings_command,
        (grammar.word("save", ("save",), optional=True),),
        "/settings save",
    ),
)
