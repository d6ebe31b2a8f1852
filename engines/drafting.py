"""From a Spec to the drafter it names, and to how many tokens that drafts."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from .chain import Chain
from .draft_model import DraftModel
from .drafters import Drafter, Plain
from .events import EngineError, Progress
from .gamma import Auto, Heuristic
from .gguf_path import is_gguf
from .lookup import Lookup
from .loop import Fixed, Gamma, Held
from .ngram import Ngram, Storage
from .options import SELF, Spec
from .parts import Opener, Parts
from .suffix import Suffix

_NGRAM = ("ngram_n", "ngram_storage", "top_k_filler", "reset_in_between")
_MODEL = ("draft_model", "draft_layers")
EXIT_AT = 0.5  # of the layers, where none are asked for
FIELDS = {  # of Spec, that a drafter is made from
    "plain": (),
    "speculative": _MODEL,
    "ngram": _NGRAM,
    "lookup": (),
    "suffix": ("reset_in_between",),
    "chain": (*_NGRAM, *_MODEL),
}


class EarlyExit(Held, Protocol):
    @property
    def layers(self) -> int: ...


@runtime_checkable
class Layered(Protocol):
    """A target whose first layers alone can draft."""

    @property
    def layers(self) -> int: ...
    def early_exit(self, layers: int) -> EarlyExit: ...


@dataclass(frozen=True, slots=True)
class Drafting:
    """A drafter as opened for a spec."""

    drafter: Drafter
    layers: int | None = None  # of an early exit
    model: str = ""  # the draft model that it uses, where that has weights of its own


def made_from(spec: Spec) -> tuple[object, ...]:
    """All that a drafter for `spec` depends on, the target apart."""
    return spec.drafter, *(getattr(spec, name) for name in FIELDS[spec.drafter])


def open_drafter(spec: Spec, target: Parts, opener: Opener) -> Generator[Progress, None, Drafting]:
    """`opener` keeps what it opens. Raises EngineError where drafts cannot be checked, or would
    mean something else to the target."""
    if spec.drafter != "plain" and target.target.no_rollback:
        raise EngineError(target.target.no_rollback, "Use /autoregressive with this model.")
    if spec.drafter not in ("speculative", "chain"):
        return Drafting(_simple(spec))
    if spec.draft_model == SELF:
        early_exit = _early_exit(spec, target.target)
        return Drafting(_guessing(spec, target, early_exit), layers=early_exit.layers)
    model = yield from _draft_model(spec, target, opener)
    return Drafting(_guessing(spec, target, model), model=spec.draft_model)


def open_gamma(spec: Spec) -> Gamma:
    if spec.gamma_policy == "auto":
        return Auto()
    return Heuristic(spec.gamma) if spec.gamma_policy == "heuristic" else Fixed(spec.gamma)


def _guessing(spec: Spec, target: Parts, model: Held) -> Drafter:
    draft = DraftModel(model, target.target.vocabulary)
    return Chain(_ngram(spec), draft) if spec.drafter == "chain" else draft


def _simple(spec: Spec) -> Drafter:
    match spec.drafter:
        case "ngram":
            return _ngram(spec)
        case "lookup":
            return Lookup()
        case "suffix":
            return Suffix(keep=spec.reset_in_between == "off")
        case _:
            return Plain()


def _ngram(spec: Spec) -> Ngram:
    storage: Storage = "basic" if spec.ngram_storage == "basic" else "onelevel"
    return Ngram(spec.ngram_n, storage, spec.top_k_filler, spec.reset_in_between == "on")


def _early_exit(spec: Spec, target: Held) -> EarlyExit:
    if not isinstance(target, Layered):
        raise EngineError(
            "Only the native target can draft with its own first layers.",
            "Name a draft model: /drafter MODEL.",
        )
    layers = spec.draft_layers or max(1, round(target.layers * EXIT_AT))
    if layers > target.layers:
        raise EngineError(
            f"The model has {target.layers} layers, not {layers}.", "Use fewer: /draft_layers N."
        )
    return target.early_exit(layers)


def _draft_model(spec: Spec, target: Parts, opener: Opener) -> Generator[Progress, None, Held]:
    same = spec.target == "llamacpp" and is_gguf(spec.draft_model)
    kind = "llamacpp" if same else "auto"
    draft = yield from opener(replace(spec, model=spec.draft_model, target=kind))
    if draft.target.no_rollback:
        raise EngineError(draft.target.no_rollback, "Choose another draft model: /drafter MODEL.")
    require_same_ids(spec, target, draft)
    return draft.target


def require_same_ids(spec: Spec, target: Parts, draft: Parts) -> None:
    """Refuses a draft model to whose tokenizer a common id means something else: it would read
    another text than the target does, however alike the sizes of the vocabularies are."""
    here, there = target.text.spelling(), draft.text.spelling()
    for each in sorted(here.keys() & there.keys()):
        if here[each] != there[each]:
            raise EngineError(
                f"{spec.draft_model} cannot draft for {spec.model}: token {each} is "
                f"{there[each][0]!r} to one and {here[each][0]!r} to the other.",
                "Choose a model of the same family, or /drafter self.",
            )
