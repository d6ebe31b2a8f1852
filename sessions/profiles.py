"""Profiles: settings that are put in force together, built in or a person's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from ..engines.events import EngineError
from ..engines.options import Sampling, Spec, limits
from .bench.plan import Value
from .clean import one_line
from .config import OWN_SYSTEM, SETTINGS, SYSTEM, Config

# int8 moves a quarter of float32's bytes for each token: 2.15 times as fast where it was measured,
# at a perplexity that differs by 0.2 %. int4 and llama.cpp go further and change more words. suffix
# costs next to nothing and changes none. Each takes back what the other sets.
BUILT_IN: Mapping[str, Mapping[str, Value]] = {
    "speed": {
        "target": "auto",
        "quantize": "int8",
        "drafter": "suffix",
        "gamma_policy": "auto",
        "num_beams": 1,
    },
    "quality": {
        "target": "auto",
        "dtype": "float32",
        "quantize": "none",
        "drafter": "suffix",
        "gamma_policy": "auto",
        "num_beams": 1,
        "repetition_penalty": 1.0,
    },
}


def profiles(config: Config) -> dict[str, Mapping[str, Value]]:
    """All that can be named; the file's own hold over those built in."""
    return {**BUILT_IN, **config.profiles}


def profile(config: Config, name: str) -> Mapping[str, Value]:
    """Raises EngineError where there is none of this name."""
    known = profiles(config)
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    raise EngineError(f"There is no profile {one_line(name, 40)}.", remedy)


def value_of(name: str, spec: Spec, sampling: Sampling, system: str | None) -> Value:
    """Of one setting, as it is now."""
    if name == SYSTEM:
        return system
    value: Value = getattr(spec, name) if hasattr(Spec, name) else getattr(sampling, name)
    return value


def differing(
    spec: Spec, sampling: Sampling, system: str | None, besides: Collection[str] = ()
) -> dict[str, Value]:
    """The settings that are not as built in, and those named `besides`."""
    now = {name: value_of(name, spec, sampling, system) for name in SETTINGS}
    usual = {name: value_of(name, Spec(), Sampling(), None) for name in SETTINGS}
    return {name: value for name, value in now.items() if value != usual[name] or name in besides}


def spelled(name: str, value: Value) -> str:
    """A setting's value as people write it: none has a word of its own."""
    if name == SYSTEM:
        return OWN_SYSTEM if value is None else str(value)
    kind = Spec if hasattr(Spec, name) else Sampling
    return str(limits(kind, name)["off"] if value is None else value)
