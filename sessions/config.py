"""What a person set once and for all: one TOML file, read strictly and never in the way."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from ..engines.options import OptionError, Options, Sampling, Spec, choice, from_record, limits
from .bench.plan import Value
from .clean import one_line

HUDS = ("auto", "side", "bar", "hidden")
ORIGINS = ("colour", "mark", "off")
THEMES = (
    "textual-dark",
    "textual-light",
    "nord",
    "gruvbox",
    "tokyo-night",
    "solarized-light",
    "catppuccin-latte",
    "ansi-dark",
    "ansi-light",
)
SYSTEM = "system"  # the setting beside those of Spec and Sampling
OWN_SYSTEM = "default"  # the word for the template's own system text
SETTINGS = (*(each.name for kind in (Spec, Sampling) for each in fields(kind)), SYSTEM)
LARGEST = 1 << 20  # bytes; more is no file of settings
LONGEST_NAME = 40  # characters of a profile's name
VERBS = ("save", "delete")  # of /profile, so no profile is called that
_NOWHERE = Path("/dev/null/config.toml")  # can't be made, so nothing is kept


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the screen looks like; it changes no figure."""

    theme: str = choice("textual-dark", THEMES, "colours")
    hud: str = choice("auto", HUDS, "where the figures stand; auto is by the window's width")
    origin: str = choice(
        "colour", ORIGINS, "how accepted drafts are told from the target's own tokens"
    )


PREFERENCES = {each.name: each.metadata["names"] for each in fields(Preferences)}
TABLES = ("settings", "profiles")


@dataclass(frozen=True, slots=True)
class Config:
    """What is right in the file, and a sentence for each thing that isn't."""

    path: Path
    preferences: Preferences = field(default_factory=Preferences)
    settings: Mapping[str, Value] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)  # the file's own
    problems: tuple[str, ...] = ()


def config_path() -> Path:
    """TOKENHUD_CONFIG, or in TOKENHUD_HOME, or in the platform's folder; nothing is made here."""
    if chosen := os.environ.get("TOKENHUD_CONFIG"):
        return Path(chosen).absolute()
    if home := os.environ.get("TOKENHUD_HOME"):
        return Path(home).absolute() / "config.toml"
    try:
        return user_config_path("tokenhud", appauthor=False) / "config.toml"
    except RuntimeError:  # no home at all
        return _NOWHERE


def read_config(path: Path) -> Config:
    """A file that is not there is an empty one."""
    problems: list[str] = []
    try:
        whole = _parsed(path)
    except OSError as error:
        return Config(path, problems=(f"{_shown(path)} cannot be read: {error.strerror}.",))
    except ValueError as error:
        return Config(path, problems=(f"{_shown(path)}: {one_line(str(error))}.",))
    preferences = Preferences()
    settings: Mapping[str, Value] = {}
    profiles: Mapping[str, Mapping[str, Value]] = {}
    for key, value in whole.items():
        try:
            if key == "settings":
                settings = dict(_settings(value, "[settings] ", problems))
            elif key == "profiles":
                profiles = dict(_profiles(value, problems))
            else:
                preferences = replace(preferences, **{key: _preference(key, value)})
        except OptionError as error:
            problems.append(str(error))
    told = tuple(f"{_shown(path)}: {one_line(each)}" for each in problems)
    return Config(path, preferences, settings, profiles, told)


def profile_name_problem(name: str) -> str:
    """Why a profile cannot be called that, to follow its name; "" where it can."""
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or " " in name:
        return f"is no name of a profile: 1 to {LONGEST_NAME} characters without blanks"
    return "is a word of /profile itself" if name in VERBS else ""


def checked(name: str, value: object) -> Value:
    """What a value in the file means as the setting `name`. Raises OptionError with the range."""
    if name == SYSTEM:
        if not isinstance(value, str):
            raise OptionError(f"{SYSTEM} is a text.")
        return None if value == OWN_SYSTEM else value
    return _option(Spec, name, value) if hasattr(Spec, name) else _option(Sampling, name, value)


def _option(options: type[Options], name: str, value: Any) -> Value:
    meant: Value = value
    if isinstance(value, str) and value and value == limits(options, name).get("off"):
        meant = None
    try:
        if type(value) is int and "float" in options.__annotations__[name]:
            meant = float(value)
        from_record(options, {name: meant})
    except OverflowError:
        raise OptionError(f"{name} is out of range.") from None
    return meant


def _parsed(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    if not path.is_file():
        raise ValueError("is no file")
    if path.stat().st_size > LARGEST:
        raise ValueError("is too large for settings")
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _preference(key: str, value: object) -> str:
    if key not in PREFERENCES:
        raise OptionError(_unknown(key, (*PREFERENCES, *TABLES), SETTINGS, "under [settings]"))
    if value not in PREFERENCES[key]:
        raise OptionError(f"{key} is one of {', '.join(PREFERENCES[key])}.")
    return str(value)


def _settings(table: object, where: str, problems: list[str]) -> Iterator[tuple[str, Value]]:
    if not isinstance(table, dict):
        raise OptionError(f"{where}has to be a table.")
    for name, value in table.items():
        try:
            if name not in SETTINGS:
                raise OptionError(_unknown(name, SETTINGS, tuple(PREFERENCES), "at the top"))
            yield name, checked(name, value)
        except OptionError as error:
            problems.append(f"{where}{error}")


def _profiles(table: object, problems: list[str]) -> Iterator[tuple[str, Mapping[str, Value]]]:
    if not isinstance(table, dict):
        raise OptionError("[profiles] has to be a table.")
    for name, settings in table.items():
        if problem := profile_name_problem(name):
            problems.append(f"[profiles] {one_line(name, LONGEST_NAME)!r} {problem}.")
            continue
        try:
            yield name, dict(_settings(settings, f"[profiles.{name}] ", problems))
        except OptionError as error:
            problems.append(str(error))


def _unknown(key: str, known: tuple[str, ...], elsewhere: tuple[str, ...], there: str) -> str:
    """Without the value: it may be a secret in the wrong place."""
    near = get_close_matches(key, known, n=1)
    meant = f"did you mean {near[0]}?" if near else ""
    if key in elsewhere:
        meant = f"it belongs {there}."
    told = f"there is no key {one_line(key, LONGEST_NAME)!r} here"
    return f"{told}; {meant}" if meant else f"{told}."


def _shown(path: Path) -> str:
    return one_line(str(path))
