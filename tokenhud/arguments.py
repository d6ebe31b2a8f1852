"""What the command line shares: every field of the two option types, and its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn

from .engines.events import EngineError
from .engines.options import Options, Sampling, Spec, from_record, limits
from .sessions.bench.methods import typed
from .sessions.bench.plan import Value
from .sessions.config import SYSTEM, Config
from .sessions.profiles import profile, spelled

EXIT_ERROR = 3  # 1 and 2 are verdicts of comparisons: see docs/results.md


class Parser(argparse.ArgumentParser):
    """Takes option names whole: what abbreviates one today may be another tomorrow."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"{self.prog}: {message}. See {self.prog} --help.\n")


def options() -> Parser:
    """Afresh for each command with defaults of its own: parsers share what they inherit."""
    parser = Parser(add_help=False)
    _add_options(parser, Spec, "what runs")
    _add_options(parser, Sampling, "how it picks")
    parser.add_argument(
        "--system", default=argparse.SUPPRESS, metavar="TEXT", help="the system text"
    )
    parser.add_argument(
        "--profile",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="settings to begin with, under what is typed beside it: speed, quality, your own",
    )
    return parser


def given_options(options: type[Spec | Sampling], given: argparse.Namespace) -> dict[str, Value]:
    """The fields that were typed, and what they mean; a value that is none stays a text."""
    return {
        each.name: typed(options, each.name, getattr(given, each.name))
        for each in fields(options)
        if hasattr(given, each.name)
    }


def chosen(
    options: type[Options], given: argparse.Namespace, defaults: Mapping[str, Value] | None = None
) -> Options:
    """Options from the typed words, else from `defaults`, which may have others too; raises
    OptionError with the range."""
    names = {each.name for each in fields(options)}
    usual = {name: value for name, value in (defaults or {}).items() if name in names}
    return from_record(options, {**usual, **given_options(options, given)})


def take_profile(given: argparse.Namespace, config: Config) -> None:
    """What the profile that was asked for sets counts as typed, where nothing else was. Raises
    EngineError where there is none of that name."""
    for name, value in profile(config, given.profile).items():
        if not hasattr(given, name):
            text = None if name == SYSTEM and value is None else spelled(name, value)
            setattr(given, name, text)


def count(text: str) -> int:
    """Of at least 1."""
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def count_or_none(text: str) -> int:
    """Of at least 0."""
    return 0 if text == "0" else count(text)


def share(text: str) -> float:
    """A share of 1, as 0.1 or 10%."""
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share such as 10% or 0.1")
    return number


def add_prompts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompts",
        nargs="*",
        metavar="PROMPT",
        help="S1 to S6, dialogue, translate, long, code, rewrite, quote; scenarios, prompts, all; "
        "or a FILE.jsonl of them",
    )
    parser.add_argument(
        "--exact",
        action="append",
        default=[],
        metavar="P,N",
        help="exactly P prompt tokens and N answer tokens, whatever the model says",
    )


def pairs(texts: list[str]) -> list[tuple[int, int]]:
    """Raises EngineError for what is not two counts."""
    found = []
    for text in texts:
        parts = text.split(",")
        try:
            prompt, length = map(count, parts)
        except (argparse.ArgumentTypeError, ValueError):
            told = f"--exact takes two counts, not {text!r}."
            raise EngineError(told, "Use: --exact 512,128") from None
        found.append((prompt, length))
    return found


def _add_options(parser: argparse.ArgumentParser, options: type[Options], title: str) -> None:
    group = parser.add_argument_group(title)
    for each in fields(options):
        rule = limits(options, each.name)
        default = rule["off"] if each.default is None else each.default
        names: Any = rule.get("names")
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            dest=each.name,
            default=argparse.SUPPRESS,
            metavar="|".join(names) if names else each.name[0].upper(),
            help=f"{rule['about']} (default: {default or 'none'})",
        )
