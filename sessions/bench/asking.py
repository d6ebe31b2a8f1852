"""From what a person asks for to the plan and the cases of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from ...engines.events import EngineError
from ...engines.options import CHOSEN_HERE, DRAFTERS, QUANTIZATIONS, Sampling, Spec, chosen_here
from ..clean import one_line
from ..records import Record
from .comparison import Comparison, compare
from .methods import method, methods, swept
from .plan import Case, Method, Plan, Value
from .replaying import Replay, digest, read_replay
from .replaying import replay as replay_records
from .result import Result
from .runs import RECORDED
from .scenarios import cases as named_cases

Experimental = tuple[Plan, tuple[Case, ...]]
USUAL = ("dialogue", "code", "rewrite")  # where nobody names a prompt
GROUPS: Mapping[str, tuple[str, ...]] = {
    "drafters": DRAFTERS,
    "weights": ("plain", *(each for each in QUANTIZATIONS if each != "none"), "llama"),
}
PLAIN = "plain"


def benchmark(
    prompts: Sequence[str],
    exact: Sequence[tuple[int, int]],
    texts: Sequence[str],
    spec: Spec,
    sampling: Sampling,
    system: str | None = None,
    setting: tuple[str, str] | None = None,
) -> Experimental:
    """Methods by prompts, each as people name it; without methods the one that `spec` is. A
    `setting` and its values make a method each. Raises EngineError."""
    cases = named_cases(prompts or (() if exact else USUAL), exact)
    if system is not None:
        cases = tuple(replace(each, system=each.system or system) for each in cases)
    if setting is None:
        ways = _expanded(texts) or (Method(described(spec)),)
        return Plan("bench", ways, spec, sampling), cases
    name, values = setting
    ways = swept(name, values)
    return Plan("sweep", _beside(ways, name, texts, spec), spec, sampling, swept=name), cases


def replay_plan(
    path: Path, texts: Sequence[str], typed: Mapping[str, Value]
) -> tuple[Plan, tuple[Case, ...], tuple[str, ...]]:
    """The chat in the log at `path`, answered as it was or by other methods, with what is `typed`
    changed in each; and what a person should know of it. A log may name any model and server, so
    others than the usual ones are used only where they are typed. Raises EngineError."""
    said = read_replay(path)
    _require_own(said, typed)
    plan, cases = _replayed(said, texts, typed)
    notes = [f"{one_line(path.name)}: {each}, so the chat is partial." for each in said.problems]
    if said.unread > len(said.problems):
        notes.append(f"{said.unread - len(said.problems)} more lines like these.")
    skipped = sum(each.skip for each in cases)
    if skipped:
        notes.append(
            f"Turns that were cancelled or failed are history and not measured: {skipped}."
        )
    return replace(plan, source=digest(path)), cases, tuple(notes)


def replay_chat(
    records: Sequence[Record], texts: Sequence[str], spec: Spec
) -> tuple[Plan, tuple[Case, ...]]:
    """As `replay_plan`, a chat in memory on the models and the server of `spec`."""
    return _replayed(replay_records(records), texts, chosen_here(spec))


def against(baseline: Result, measure: str, threshold: float) -> Callable[[Result], Comparison]:
    """The verdict on a result's first method."""
    return lambda found: compare(found, baseline, measure, threshold)


def described(spec: Spec) -> str:
    """The words that `method` reads as this spec's way of decoding."""
    words = [spec.drafter]
    if spec.drafter != PLAIN and spec.gamma_policy == "fixed":
        words.append(f"gamma={spec.gamma}")
    words += [spec.quantize] if spec.quantize != "none" else []
    words += [spec.target] if spec.target not in ("auto", "native") else []
    return " ".join(words)


def _replayed(said: Replay, texts: Sequence[str], typed: Mapping[str, Value]) -> Experimental:
    ways = tuple(
        replace(each, changes={**typed, **each.changes})
        for each in _expanded(texts) or (Method(_name(typed)),)
    )
    model = said.loaded.model if said.loaded else None
    plan = Plan(
        "replay",
        ways,
        said.spec,
        said.sampling,
        model_sha256=model.sha256 if model else "",
        template_sha256=model.template_sha256 if model else "",
    )
    return plan, said.cases


def _require_own(said: Replay, typed: Mapping[str, Value]) -> None:
    usual = Spec()
    for name in CHOSEN_HERE:
        asked = [getattr(said.spec, name), *(each.changes.get(name) for each in said.cases)]
        others = [each for each in asked if each not in (None, getattr(usual, name))]
        if others and name not in typed:
            word, option = one_line(str(others[0]), 80), name.replace("_", "-")
            raise EngineError(
                f"The chat ran on {word}, which a log may not choose.", f"Add --{option} {word}"
            )


def _name(typed: Mapping[str, Value]) -> str:
    told = [f"{name}={value}" for name, value in typed.items() if name not in CHOSEN_HERE]
    return one_line(" ".join(told), 60) or RECORDED


def _expanded(texts: Sequence[str]) -> tuple[Method, ...]:
    return methods([each for text in texts for each in GROUPS.get(text.strip().lower(), (text,))])


def _beside(
    ways: tuple[Method, ...], name: str, texts: Sequence[str], spec: Spec
) -> tuple[Method, ...]:
    """Every method at every value. A sweep of what a drafter does is set beside plain decoding;
    raises EngineError where there is no drafter whose drafts it could change."""
    named = _expanded(texts)
    if name not in _DRAFTER:
        return _crossed(named, ways) if named else ways
    drafters = tuple(each for each in named if each.changes.get("drafter", PLAIN) != PLAIN)
    if spec.drafter == PLAIN and not drafters:
        raise EngineError(
            "Plain decoding drafts nothing, so this changes nothing.",
            "Choose a drafter, such as suffix.",
        )
    return (method(PLAIN), *(_crossed(drafters, ways) if drafters else ways))


def _crossed(ones: Sequence[Method], others: Sequence[Method]) -> tuple[Method, ...]:
    return tuple(
        Method(f"{one.name} {other.name}", {**one.changes, **other.changes})
        for one in ones
        for other in others
    )


_DRAFTER = frozenset(
    each.name
    for each in fields(Spec)
    if each.name != "drafter"
    and (each.name.startswith(("gamma", "draft", "ngram")) or each.name == "top_k_filler")
)
