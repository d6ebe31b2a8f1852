"""Methods as people write them: `suffix`, `speculative gamma=6`, `int8+ngram`, `llama`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches

from ...engines.events import EngineError
from ...engines.options import (
    DRAFTERS,
    DTYPES,
    QUANTIZATIONS,
    TARGETS,
    OptionError,
    Options,
    Sampling,
    Spec,
    from_record,
    limits,
)
from ..clean import one_line
from .plan import Method, Value

NAMES = {each.name for options in (Spec, Sampling) for each in fields(options)}
# A word that names a value says which setting it is of.
WORDS: Mapping[str, dict[str, Value]] = {
    **{name: {"drafter": name} for name in DRAFTERS},
    **{name: {"quantize": name} for name in QUANTIZATIONS if name != "none"},
    **{name: {"target": name} for name in TARGETS if name != "auto"},
    **{name: {"dtype": name} for name in DTYPES},
    "recorded": {},
    "autoregressive": {"drafter": "plain"},
    "target": {"drafter": "plain"},
    "llama": {"target": "llamacpp"},
    "cpu": {"device": "cpu"},
    "cuda": {"device": "cuda"},
}
_ALIASES = {
    "num_speculative_tokens": "gamma",
    "n": "ngram_n",
    "filler": "top_k_filler",
    "n_threads": "threads",
    "max_tokens": "length",
    "max_new_tokens": "length",
    "quantization": "quantize",
    "quantisation": "quantize",
}


def method(text: str) -> Method:
    """Words between spaces or `+`, each a value that names itself or NAME=VALUE. A number of
    drafted tokens fixes it. Raises EngineError with what is meant."""
    changes: dict[str, Value] = {}
    for word in re.split(r"[\s+]+", text.strip()):
        changes |= _changes(word)
    return Method(one_line(" ".join(text.split()), 60), changes)


def methods(texts: Sequence[str]) -> tuple[Method, ...]:
    """Raises EngineError where two have one name."""
    found = tuple(map(method, texts))
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EngineError(f"The method {min(twice)} is there twice.", "Name each once.")
    return found


def swept(name: str, values: str) -> tuple[Method, ...]:
    """A method for each value, between commas, of one setting."""
    known = _field(name)
    texts = [each for each in re.split(r"[,\s]+", values.strip()) if each]
    if not texts:
        raise EngineError(f"There is no value of {known}.", f"Use: {known} 1,2,4")
    return methods([f"{known}={each}" for each in texts])


def _changes(word: str) -> dict[str, Value]:
    name, equals, text = word.partition("=")
    if equals:
        known = _field(name)
        value = _value(known, text)
        fixed: dict[str, Value] = {"gamma_policy": "fixed"}
        if known == "gamma":
            return {"gamma_policy": text} if text in ("auto", "heuristic") else fixed | value
        return value
    if word.lower() in WORDS:
        return WORDS[word.lower()]
    near = get_close_matches(word.lower(), WORDS, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"Use NAME=VALUE or one of: {_listed()}."
    raise EngineError(f"There is no method {one_line(word, 40)}.", remedy)


def _field(name: str) -> str:
    known = _ALIASES.get(name.lower(), name.lower())
    if known not in NAMES:
        near = get_close_matches(known, NAMES, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(NAMES))}."
        raise EngineError(f"There is no setting {one_line(name, 40)}.", remedy)
    return known


def _value(name: str, text: str) -> dict[str, Value]:
    if name == "gamma" and text in ("auto", "heuristic"):
        return {}
    try:
        return _checked(Spec, name, text) if hasattr(Spec, name) else _checked(Sampling, name, text)
    except OptionError as error:
        raise EngineError(str(error), f"It was {one_line(text, 40)!r}.") from None


def _checked(options: type[Options], name: str, text: str) -> dict[str, Value]:
    value = typed(options, name, text)
    from_record(options, {name: value})
    return {name: value}


def typed(options: type[Spec | Sampling], name: str, text: str) -> Value:
    """What a word means as a value of one option; what is none is returned, to be refused."""
    rule = limits(options, name)
    if "low" not in rule or not text.isascii() or "_" in text:
        return text
    if text == rule["off"]:
        return None
    try:
        return float(text) if "float" in options.__annotations__[name] else int(text)
    except ValueError:
        return text


def _listed() -> str:
    return ", ".join(sorted(WORDS))
