"""What a benchmark asks when nobody says: exact lengths, built-in prompts, or a file of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...engines.events import EngineError
from ...engines.options import Sampling, limits
from ..clean import one_line
from ..places import is_there
from ..prompts import PROMPTS
from .plan import Case, Value


class Scenario(NamedTuple):
    """Exact counts of prompt and answer; an end token does not end the answer."""

    prompt: int
    length: int
    about: str


SCENARIOS: Mapping[str, Scenario] = {
    "S1": Scenario(16, 32, "short prompt, short answer"),
    "S2": Scenario(64, 64, "short chat"),
    "S3": Scenario(256, 128, "medium chat"),
    "S4": Scenario(512, 256, "long chat"),
    "S5": Scenario(1024, 128, "long prompt: prefill"),
    "S6": Scenario(64, 512, "long answer: decoding"),
}
LENGTH = 128  # most tokens of an answer, where nobody says
USUAL: Mapping[str, Value] = {"length": LENGTH, "seed": 0}  # so all methods say the same
GROUPS: Mapping[str, tuple[str, ...]] = {
    "scenarios": tuple(SCENARIOS),
    "prompts": tuple(PROMPTS),
    "all": (*SCENARIOS, *PROMPTS),
}
TEXT = "\n\n".join(PROMPTS.values())  # repeated where a scenario asks for more
_TEXTS = ("prompt", "question", "text")
_ANSWERS = ("answer", "expected")


def cases(names: Sequence[str], exact: Sequence[tuple[int, int]] = ()) -> tuple[Case, ...]:
    """By name, group or file, and pairs of exact counts. Raises EngineError for what is none."""
    found: list[Case] = [_exact(f"p{p} n{n}", p, n) for p, n in exact]
    for name in names:
        for each in GROUPS.get(name.lower(), (name,)):
            found += _named(each)
    name, times = next(iter(Counter(each.name for each in found).most_common(1)), ("", 0))
    if times > 1:
        raise EngineError(f"The prompt {one_line(name, 40)} is there twice.", "Name each once.")
    return tuple(found)


def _named(name: str) -> list[Case]:
    if name.upper() in SCENARIOS:
        scenario = SCENARIOS[name.upper()]
        return [_exact(name.upper(), scenario.prompt, scenario.length)]
    if name.lower() in PROMPTS:
        return [Case(name.lower(), PROMPTS[name.lower()])]
    if Path(name).suffix.lower() in (".jsonl", ".json", ".txt") or is_there(name):
        return read_cases(Path(name))
    known = ", ".join((*SCENARIOS, *PROMPTS, *GROUPS))
    raise EngineError(
        f"There is no prompt {one_line(name, 40)}.", f"There are: {known}, and FILE.jsonl."
    )


def _exact(name: str, prompt: int, length: int) -> Case:
    changes: dict[str, Value] = {"length": length, "ignore_eos": "on"}
    return Case(name, TEXT, exact=prompt, changes=changes)


def read_cases(path: Path) -> list[Case]:
    """One prompt a line: a JSON object with `prompt` (or `question`, `text`, or `messages`), and
    if wanted `name`, `system`, `answer` and `output_tokens`; in a .txt file, plain text. Raises
    EngineError with the line that is none of these."""
    shown = one_line(str(path))
    try:
        text = path.expanduser().read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise EngineError(f"{shown} is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError as error:
        raise EngineError(f"{shown} cannot be read: {error.strerror}.") from None
    except RuntimeError:
        raise EngineError(f"There is no home folder for {shown}.") from None
    lines = text.replace("\r\n", "\n").split("\n")  # other separators may stand in a prompt
    plain = path.suffix.lower() == ".txt"
    found: list[Case] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            entry = {"prompt": line} if plain else _object(line, f"Line {number} of {shown}")
            name = f"{path.stem} {number}"
            found += _conversation(entry, name, f"Line {number} of {shown}", len(found))
    if not found:
        raise EngineError(f"{shown} has no prompt.", 'A line is {"prompt": "text"}.')
    return found


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise EngineError(f"{where} is not JSON.", 'A line is {"prompt": "text"}.') from None
    if not isinstance(entry, dict):
        raise EngineError(f"{where} is no object.", 'A line is {"prompt": "text"}.')
    return entry


def _conversation(entry: dict[str, Any], name: str, where: str, before: int) -> list[Case]:
    """One case, or for `messages` a skipped one for each exchange before the last message."""
    name = _text(entry, ("name", "id"), where) or name
    expected, system = _text(entry, _ANSWERS, where), _text(entry, ("system",), where)
    changes: dict[str, Value] = {}
    if (length := entry.get("output_tokens")) is not None:
        most = limits(Sampling, "length")["high"]
        if type(length) is not int or not 1 <= length <= most:
            raise EngineError(f"{where}: output_tokens is no whole number from 1 to {most}.")
        changes["length"] = length
    said = entry.get("messages")
    if said is None:
        text = _text(entry, _TEXTS, where)
        if not text:
            raise EngineError(f"{where} has no prompt.", 'A line is {"prompt": "text"}.')
        return [Case(name, text, system=system or None, changes=changes, expected=expected)]
    turns = _turns(said, where)
    system = turns.pop(0)[1] if turns[0][0] == "system" else system
    found: list[Case] = []
    for at in range(0, len(turns), 2):
        last = at + 1 >= len(turns)
        found.append(
            Case(
                name if last else f"{name}, message {at // 2 + 1}",
                turns[at][1],
                after=before + len(found) - 1 if found else None,
                reply="" if last else turns[at + 1][1],
                system=system or None,
                changes=changes,
                skip=not last,
                expected=expected if last else "",
            )
        )
    return found


def _turns(said: Any, where: str) -> list[tuple[str, str]]:
    fault = EngineError(
        f"{where}: messages are not of user and assistant in turns, with a user's at the end.",
        'A message is {"role": "user", "content": "text"}.',
    )
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise fault
    turns = [(each.get("role"), each.get("content")) for each in said]
    if not all(isinstance(part, str) for turn in turns for part in turn):
        raise fault
    roles = [role for role, _ in turns if role != "system"]
    wanted = ["user" if at % 2 == 0 else "assistant" for at in range(len(roles))]
    systems = sum(role == "system" for role, _ in turns)
    if roles != wanted or len(roles) % 2 == 0 or systems > (turns[0][0] == "system"):
        raise fault
    return [(str(role), str(content)) for role, content in turns]


def _text(entry: dict[str, Any], names: Sequence[str], where: str) -> str:
    for name in names:
        value = entry.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise EngineError(f"{where}: {name} is no text.")
            return value
    return ""
