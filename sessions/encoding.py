"""Records to JSON lines and back, strictly: a line is exactly what `to_line` could have written."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from ..engines.events import (
    Chunk,
    Loaded,
    Model,
    Prefill,
    Preview,
    Progress,
    Sample,
    Scored,
    Served,
    Start,
    Step,
    Stop,
)
from ..engines.options import Spec
from .bench.plan import Case, Plan
from .clean import MARK
from .records import Clear, Header, Record, Setting, Trial, Turn, Undo
from .schema import Reader, RecordError, reader

KINDS: dict[str, type[Record]] = {
    "header": Header,
    "turn": Turn,
    "setting": Setting,
    "undo": Undo,
    "clear": Clear,
    "trial": Trial,
    "plan": Plan,
    "case": Case,
    "progress": Progress,
    "loaded": Loaded,
    "start": Start,
    "prefill": Prefill,
    "step": Step,
    "chunk": Chunk,
    "served": Served,
    "preview": Preview,
    "scored": Scored,
    "sample": Sample,
    "stop": Stop,
}
# Our field names, and the ones that other tools of this field write for the same thing.
NAMES: dict[type, dict[str, str]] = {
    Header: {"environment": "env"},
    Spec: {"gamma": "num_speculative_tokens", "threads": "n_threads"},
    Model: {"path": "model_filename", "parameters": "model_n_params"},
    Start: {"prompt": "prompt_token_ids", "cached": "cached_tokens"},
    Step: {"tokens": "token_ids"},
    Chunk: {"tokens": "completion_tokens"},
    Served: {
        "drafted": "num_draft_tokens",
        "accepted": "num_accepted_draft_tokens",
        "spec_steps": "num_spec_steps",
    },
    Scored: {"tokens": "token_ids", "best": "best_token_ids"},
    Sample: {"engine_rss": "rss", "vram_used": "nvml_used"},
    Stop: {"reason": "finish_reason", "what": "error"},
}
_LONGEST_DRAFT = 10_000  # tokens; who counts by place in the draft has room for no more
_KIND_OF = {record: kind for kind, record in KINDS.items()}
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_line(record: Record, seq: int) -> str:
    """One JSON object without the newline. NaN and infinity become null, half surrogates a mark."""
    values = {"seq": seq, "type": _KIND_OF[type(record)]} | _plain(record)
    try:
        line = _dump(values)
    except ValueError:
        line = _dump(_finite(values))
    return line if line.isascii() else _SURROGATE.sub(MARK, line)


def from_line(text: str) -> Record:
    return numbered_record(text)[1]


def numbered_record(text: str) -> tuple[int, Record]:
    """A line's sequence number and its record; raises RecordError with the reason."""
    values = _parsed(text)
    if not isinstance(values, dict):
        raise RecordError("is not a record")
    seq, kind = values.pop("seq", None), values.pop("type", None)
    if type(seq) is not int or seq < 0:
        raise RecordError("has no sequence number")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecordError("is of no known type")
    record: Record = _reader(kind)(values, kind)
    _check(record)
    return seq, record


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecordError:
        raise
    except RecursionError:
        raise RecordError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"is not JSON ({error.msg} at character {error.pos + 1})") from None
    except ValueError:  # Python's own bound on the digits of an integer
        raise RecordError("holds a number that is too large") from None


@cache
def _reader(kind: str) -> Reader:
    return reader(KINDS[kind], NAMES)


def _check(record: Record) -> None:
    """What no field shows alone."""
    match record:
        case Step(tokens, pieces, drafted, accepted):
            if len(pieces) != len(tokens):
                raise RecordError("has not one piece a token")
            if accepted > min(drafted, len(tokens)):
                raise RecordError("accepts more tokens than were drafted or emitted")
            if drafted > _LONGEST_DRAFT:
                raise RecordError(f"drafts more than {_LONGEST_DRAFT} tokens")
        case Scored(tokens=tokens, surprisals=surprisals, best=best):
            if not len(tokens) == len(surprisals) == len(best):
                raise RecordError("has not one score a token")
        case Served():
            _check_served(record)
        case Start(prompt=prompt, cached=cached) if cached > len(prompt):
            raise RecordError("has more cached tokens than prompt")
        case Prefill(done=done, total=total) if done > total:
            raise RecordError("has more tokens done than there are")


def _check_served(told: Served) -> None:
    most = math.inf
    if (told.accepted or 0) > (most if told.drafted is None else told.drafted):
        raise RecordError("accepts more tokens than were drafted")
    if (told.cached_tokens or 0) > (most if told.prompt_tokens is None else told.prompt_tokens):
        raise RecordError("has more cached tokens than prompt")


def _plain(value: Any) -> Any:
    """`value` with every dataclass a dict under the names of the log."""
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [_plain(each) for each in value]
    if not is_dataclass(value):
        return value
    names = NAMES.get(type(value), {})
    return {names.get(f.name, f.name): _plain(getattr(value, f.name)) for f in fields(value)}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _dump(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RecordError("names a field twice")
    return values


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise RecordError("holds a number that is too large")
    return value


def _no_constant(name: str) -> None:
    raise RecordError(f"holds {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_real,
    parse_constant=_no_constant,
)
