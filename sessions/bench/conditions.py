"""Under what conditions a result was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...engines.events import Loaded
from .. import figures
from .derived import unending
from .result import Result
from .table import Table

_LISTED = 8  # cases or problems that are named


def conditions(result: Result) -> Table:
    rows = [(what, value) for what, value in _told(result) if value]
    return Table("Conditions", ("what", "value"), rows, words=2)


def _told(result: Result) -> Iterator[tuple[str, str]]:
    header = result.header
    if header:
        yield "measured", header.created
        yield "tokenhud", header.tokenhud_version
        yield from _machine(_mapping(header.environment.get("machine_info")))
        packages = _mapping(header.environment.get("packages"))
        yield "packages", ", ".join(f"{name} {found}" for name, found in packages.items())
    yield from _models(result)
    yield from _plan(result)
    yield "answers", _answers(result)
    yield "used by others before", _load(result.idle_load)
    loads = [each.other_load for each in result.measured if each.other_load is not None]
    yield "used by others during an answer, at most", _load(max(loads, default=None))
    shown = [str(each) for each in result.problems[:_LISTED]]
    more = len(result.problems) - len(shown)
    yield "unreadable", ", ".join([*shown, *([f"and {more:,} more lines"] if more else [])])


def _machine(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cpu, gpu = _mapping(info.get("cpu")), _mapping(info.get("gpu"))
    yield "processor", f"{cpu.get('name')}, {cpu.get('usable')} cores usable" if cpu else ""
    yield "GPU", _joined(gpu.get("name"), gpu.get("driver"))
    total = info.get("ram_total")
    yield "memory", figures.size(total) if isinstance(total, int | float) else ""
    yield "system", _joined(info.get("system"), info.get("release"), info.get("machine"))
    yield "Python", _joined(info.get("python_version"))


def _models(result: Result) -> Iterator[tuple[str, str]]:
    """One line where all methods ran on the same weights in the same way."""
    found: dict[tuple[str, str], list[str]] = {}
    for method in result.methods:
        if loaded := result.model(method):
            found.setdefault((_model(loaded), _held(loaded)), []).append(method)
    for (model, held), methods in found.items():
        whose = "" if len(found) == 1 else f" of {', '.join(methods)}"
        yield f"model{whose}", model
        yield f"runs on{whose}", held


def _model(loaded: Loaded) -> str:
    model = loaded.model
    return ", ".join(
        (
            model.name,
            f"{model.parameters:,} parameters",
            f"file {model.quantization}",
            f"sha256 {model.sha256 or 'not known'}",
        )
    )


def _held(loaded: Loaded) -> str:
    spec = loaded.spec
    if spec.url:
        return f"the server {spec.url}"
    return (
        f"{spec.target} on {spec.device}, weights {figures.weights(spec)}, "
        f"{spec.threads or 'auto'} threads, {spec.context or 'auto'} positions"
    )


def _plan(result: Result) -> Iterator[tuple[str, str]]:
    plan = result.plan
    if plan is None:
        yield "what", "a chat: each turn was answered once"
        return
    yield "what", _joined(plan.purpose, plan.swept)
    yield "passes", f"{plan.runs} through all cases, after {plan.warmup} as a warm-up"
    if len(plan.methods) > 1:
        yield "order", "methods take turns within a pass, each second pass the other way round"
    sampling = plan.sampling
    seed = "random" if sampling.seed is None else sampling.seed
    yield "picking", f"temperature {sampling.temperature:g}, seed {seed}"
    yield "longest answer", f"{sampling.length:,} tokens, unless the case or method says other"
    ignored = sorted({case for each in result.methods for case in unending(result, each)})
    shown = f"{', '.join(ignored[:_LISTED])}{', …' if len(ignored) > _LISTED else ''}"
    yield "end tokens ignored in", shown


def _answers(result: Result) -> str:
    """Each counted once."""
    told = result.answers
    ended = [each for each in told if each.reason in ("stop", "length")]
    kinds = {
        "measured": len(result.measured),
        "warm-up": sum(each.warmup for each in ended),
        "cold": sum(each.cold and not each.warmup for each in ended),
        "cancelled": sum(each.reason == "cancelled" for each in told),
        "failed": sum(each.reason == "error" for each in told),
    }
    kinds["measured again"] = len(told) - sum(kinds.values())
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


def _load(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.0f} % of the machine"


def _joined(*parts: object) -> str:
    return " ".join(str(each) for each in parts if each)


def _mapping(value: Any) -> Mapping[str, Any]:
    """A log may hold anything in its environment."""
    return value if isinstance(value, dict) else {}
