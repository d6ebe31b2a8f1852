"""What a command's choices gave on this machine, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter

from ..engines.options import DRAFTERS, Spec
from . import figures
from .bench.saved_results import kept_if_readable
from .clean import one_line
from .machine import environment
from .measured_here import MeasuredHere, closest, in_chat, in_results, speedup
from .places import results_folder
from .records import Record, last_loaded

Chosen = Callable[[Spec], object]  # what a command would have set for this spec, None for nothing


def measured_here(records: Sequence[Record]) -> list[MeasuredHere]:
    """In a chat, then in the results that are kept, which takes a second or more."""
    return [*in_chat(records), *in_results(kept_if_readable(results_folder()), environment())]


def changes_speed(name: str) -> bool:
    return name in CHOSEN


def figure_lines(
    name: str, here: Sequence[MeasuredHere], now: Spec, records: Sequence[Record]
) -> list[str]:
    """A line for each choice of the command `name` that was measured, by what is most like what
    runs now, or how to measure it; [] where a command changes no speed."""
    chosen = CHOSEN.get(name)
    if chosen is None or now.url:
        return []
    local = [each for each in here if not each.spec.url]
    choices = {value: None for each in local if (value := chosen(each.spec)) is not None}
    loaded = last_loaded(records)
    spec, sha256 = (loaded.spec, loaded.model.sha256) if loaded else (now, "")
    found = [closest(local, partial(_is, chosen, choice), spec, sha256) for choice in choices]
    lines = [figure_line(each, local) for each in found if each]
    return lines or [f"Not measured here; {HOW.get(name, f'/race plain, {name}')} measures it."]


def figure_line(of: MeasuredHere, here: Sequence[MeasuredHere]) -> str:
    """One measured method: how fast, of how many answers, and where."""
    times = speedup(of, here)
    told = [f"{figures.rate(of.decode_rate)} tok/s"]
    told += [f"accepted {figures.percent(of.acceptance)}"] if of.acceptance is not None else []
    told += [f"{figures.factor(times)}× plain"] if times else []
    way = f"{figures.method(of.spec)} · {of.spec.target} {figures.weights(of.spec)}"
    source = f"{figures.counted(of.answers, 'answer')} in {one_line(of.source, 60)}"
    return f"{way}: {' · '.join(told)} ({source})"


def _is(chosen: Chosen, choice: object, spec: Spec) -> bool:
    return chosen(spec) == choice


def _drafter(name: str, spec: Spec) -> bool | None:
    return spec.drafter == name or None


def _gamma(spec: Spec) -> object:
    if spec.drafter == "plain":
        return None
    return spec.gamma if spec.gamma_policy == "fixed" else spec.gamma_policy


CHOSEN: Mapping[str, Chosen] = {
    **{name: partial(_drafter, name) for name in DRAFTERS[1:]},
    "autoregressive": partial(_drafter, DRAFTERS[0]),
    "gamma": _gamma,
    "llama": lambda spec: spec.target == "llamacpp" or None,
    "runtime": attrgetter("target"),
    **{name: attrgetter(name) for name in ("quantize", "dtype", "triton", "threads", "kv_type")},
}
HOW: Mapping[str, str] = {
    "autoregressive": "/race plain, suffix",
    "gamma": "/tune",
    "llama": "/bench code with plain, llama",
    "runtime": "/bench code with native, llama",
    "triton": "/sweep triton on,off code",
    "threads": "/sweep threads 1,2 code",
    "kv_type": "/bench code with llama, llama kv_type=q8_0",
    **dict.fromkeys(("quantize", "dtype"), "/compare"),
}
