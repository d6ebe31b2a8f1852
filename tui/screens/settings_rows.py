"""Everything a command can set, a row each: from the options' own fields, so none is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from ...engines.options import WEIGHTS, OptionError, Options, Sampling, Spec, limits
from ...sessions.chat import Chat
from ...sessions.config import SYSTEM, Preferences, checked
from ...sessions.profiles import value_of
from ..commands import grammar
from ..commands.settings import written

RUNS, PICKS, DRAFTS, SCREEN = "What runs", "How it picks", "Drafting", "Screen"
NEXT, LOADS, AT_ONCE = "from the next answer", "from the next answer, which loads it", "at once"


@dataclass(frozen=True, slots=True)
class Row:
    group: str
    name: str
    about: str
    now: str  # as it is written
    usual: str  # built in
    takes: str
    holds: str  # from when
    names: tuple[str, ...] = ()  # to choose from; where there are none, it is typed

    @property
    def changed(self) -> bool:
        return self.now != self.usual


def rows(chat: Chat, preferences: Preferences | None = None) -> list[Row]:
    """In groups. Without preferences there is no screen that they could be of."""
    spec = {
        each.name: _row(chat, Spec, each, RUNS if each.name in WEIGHTS else DRAFTS)
        for each in fields(Spec)
    }
    found = [each for each in spec.values() if each.group == RUNS]
    found += [_row(chat, Sampling, each, PICKS) for each in fields(Sampling)]
    found.append(_system(chat))
    found += [each for each in spec.values() if each.group == DRAFTS]
    if preferences:
        found += [_preference(preferences, each) for each in fields(Preferences)]
    return found


def matching(found: Iterable[Row], words: str) -> list[Row]:
    """Those that have every word in name, group or sentence."""
    asked = words.casefold().split()
    texts = {each: f"{each.name} {each.group} {each.about}".casefold() for each in found}
    return [each for each, text in texts.items() if all(word in text for word in asked)]


def problem(row: Row, text: str) -> str:
    """Why `text` cannot be the value of this row, in a sentence; none at all is the usual value."""
    if not text or text == row.usual or row.name == SYSTEM:
        return ""
    try:
        if not hasattr(Spec, row.name):
            grammar.option(Sampling, row.name, "").parse(text)
        elif "low" in limits(Spec, row.name):
            grammar.option(Spec, row.name, "").parse(text)
        else:
            checked(row.name, text)
    except grammar.ArgumentError as error:
        return f"It takes {error}."
    except OptionError as error:
        return str(error)
    return ""


def as_text(found: Sequence[Row]) -> str:
    """The rows where there is no screen."""
    width = max(len(each.name) for each in found)
    told = []
    for row in found:
        usual = f" (built in: {row.usual})" if row.changed else ""
        told.append(f"{'*' if row.changed else ' '} {row.name:{width}}  {row.now}{usual}")
    return "\n".join(told)


def _row(chat: Chat, kind: type[Options], each: Field[Any], group: str) -> Row:
    now = written(each.name, value_of(each.name, chat.spec, chat.sampling, chat.system))
    takes = "a text"
    names: tuple[str, ...] = each.metadata.get("names", ())
    if names or "low" in each.metadata:
        takes = grammar.option(kind, each.name, "").takes
    usual: Any = each.default
    holds = LOADS if group == RUNS else NEXT
    about = each.metadata["about"]
    return Row(group, each.name, about, now, written(each.name, usual), takes, holds, names)


def _system(chat: Chat) -> Row:
    about = "the system text; default is the template's own"
    now, usual = written(SYSTEM, chat.system), written(SYSTEM, None)
    return Row(PICKS, SYSTEM, about, now, usual, "a text, or default", NEXT)


def _preference(preferences: Preferences, each: Field[Any]) -> Row:
    names = each.metadata["names"]
    takes = grammar.word("", names).takes
    now, about = str(getattr(preferences, each.name)), each.metadata["about"]
    return Row(SCREEN, each.name, about, now, str(each.default), takes, AT_ONCE, names)
