"""What would be faster here: by what was measured, else by rules, and each says which. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..engines.events import Loaded
from ..engines.models_here import ModelHere
from ..engines.options import SELF, Spec
from . import figures
from .clean import one_line
from .costs import MARGIN, TOKENS, Costs, SessionCosts, loses, method, place
from .measured_here import MeasuredHere, speedup
from .records import Record
from .summary import split_turns

TENTH = 0.1  # of the target's parameters, that a draft model should have at most
DEAR = 0.5  # of a plain pass, from which a drafted token is dear
LARGE = 0.5  # of the memory, from which a model is large
TRIED = 4  # drafted tokens a step, where the bound on what a dear drafter brings is told
NONE = Costs()
SOURCE = "rule: speed-up (1 + γα) / (1 + γc), and c follows the parameters"


class Suggestion(NamedTuple):
    sentence: str
    command: str  # "" where nothing is to be changed
    basis: str  # what was measured, with its n; or the rule


@dataclass(frozen=True, slots=True)
class Known:
    """All that a suggestion may rest on."""

    spec: Spec  # as asked for
    loaded: Loaded | None = None  # the weights that answer now
    costs: Costs = NONE  # of the drafter in use
    here: Sequence[MeasuredHere] = ()
    models: Sequence[ModelHere] = ()
    memory: int | None = None  # bytes that this machine or container has in all
    cpus: float | None = None  # that this process may use
    gpu: bool = False  # a CUDA device that torch can use

    @property
    def now(self) -> list[MeasuredHere]:
        """What was measured, long enough to tell, of these weights as they are held now."""
        if self.loaded is None:
            return []
        sha256, here = self.loaded.model.sha256, place(self.loaded.spec)
        return [
            each
            for each in self.here
            if (each.sha256, place(each.spec)) == (sha256, here) and each.tokens >= TOKENS
        ]


def suggestions(known: Known) -> list[Suggestion]:
    """The weightiest first; none of a server, which decides for itself when it starts."""
    if known.spec.url:
        return []
    told = [*_machine(known), *_weights(known), *_method(known), *_draft_model(known)]
    found: dict[str, Suggestion] = {}
    for each in told:
        found.setdefault(each.command or each.sentence, each)
    return list(found.values())


def chat_costs(records: Iterable[Record]) -> Costs:
    """Of the drafter that answered last in a chat."""
    meter = SessionCosts()
    for turn in split_turns(records):
        for event in turn.events:
            meter.add(event)
    return meter.costs()


def _machine(known: Known) -> Iterator[Suggestion]:
    loaded = known.loaded
    if loaded is None:
        return
    if known.gpu and loaded.spec.device == "cpu":
        yield Suggestion("The model runs on the CPU beside a GPU.", "/device cuda", "rule")
    threads = loaded.spec.threads
    if threads and known.cpus and threads > known.cpus:
        said = f"{figures.counted(threads, 'thread')} share {known.cpus:g} processors."
        yield Suggestion(said, "/threads auto", "rule: one thread a processor")
    held = sum(loaded.memory.values())
    if known.memory and held > LARGE * known.memory and loaded.spec.quantize == "none":
        of = f"{figures.size(held)} of {figures.size(known.memory)}"
        yield Suggestion(f"The model holds {of} of memory.", "/quantize int8", "as it was loaded")


def _weights(known: Known) -> Iterator[Suggestion]:
    """Which form of the same weights decodes fastest, all plain."""
    loaded = known.loaded
    if loaded is None:
        return
    plain = [each for each in known.now if each.spec.drafter == "plain"]
    others = [
        each
        for each in known.here
        if each.sha256 == loaded.model.sha256
        and each.spec.drafter == "plain"
        and each.tokens >= TOKENS
        and _held(each.spec) != _held(loaded.spec)
    ]
    best = max(others, key=lambda each: each.decode_rate, default=None)
    if plain and best and best.decode_rate > plain[0].decode_rate * (1 + MARGIN):
        yield Suggestion(
            f"{_form(best.spec)} decoded {figures.rate(best.decode_rate)} tok/s here, "
            f"{_form(loaded.spec)} {figures.rate(plain[0].decode_rate)}.",
            _to_form(best.spec, loaded.spec),
            f"measured: {_answers(best)}, and {_answers(plain[0])}",
        )
    elif not others and _is_wide(loaded):
        yield Suggestion(
            f"Each token reads all {figures.size(loaded.memory['weights'])} of the weights; "
            "int8 holds them in a quarter.",
            "/quantize int8",
            "rule: one token at a time is bound by memory, not by arithmetic",
        )


def _method(known: Known) -> Iterator[Suggestion]:
    spec, now = known.spec, known.now
    mine = next((each for each in now if method(each.spec) == method(spec)), None)
    rivals = [each for each in now if mine is None or each.source == mine.source]
    best = max(rivals, key=lambda each: each.decode_rate, default=None)
    if mine and best and best.decode_rate > mine.decode_rate * (1 + MARGIN):
        yield Suggestion(
            f"{figures.method(best.spec)} decoded {figures.rate(best.decode_rate)} tok/s here, "
            f"{figures.method(spec)} {figures.rate(mine.decode_rate)}.",
            _to_method(best.spec, spec),
            f"measured: {_answers(best)}, and {_answers(mine)}",
        )
    elif mine and spec.drafter != "plain":
        yield from _stay(mine, rivals)
    if spec.drafter != "plain" and spec.gamma_policy != "auto" and loses(known.costs):
        yield Suggestion(
            "These drafts take longer than they save; γ auto stops them where they lose.",
            "/gamma auto",
            f"measured: {figures.counted(known.costs.drafts, 'draft')} of this chat",
        )
    if spec.drafter == "plain" and all(each.spec.drafter == "plain" for each in now):
        yield Suggestion(
            "suffix drafts from the text alone, keeps the words, and γ auto drafts nothing where "
            "that loses.",
            "/suffix",
            "rule: no draft model to run; not measured here yet",
        )


def _stay(mine: MeasuredHere, rivals: Sequence[MeasuredHere]) -> Iterator[Suggestion]:
    times, kept = speedup(mine, rivals), mine.acceptance
    if times is None:
        return
    told = f"{figures.method(mine.spec)} is {figures.factor(times)} times plain here"
    told += f" and kept {figures.percent(kept)} of its drafts" if kept is not None else ""
    worth = "stay" if times >= 1 - MARGIN else "plain is no slower"
    yield Suggestion(f"{told}: {worth}.", "", f"measured: {_answers(mine)}")


def _draft_model(known: Known) -> Iterator[Suggestion]:
    spec, loaded, costs = known.spec, known.loaded, known.costs
    drafting = spec.drafter in ("speculative", "chain")
    if drafting and costs.c is not None and costs.c > DEAR:
        most = figures.factor((1 + TRIED) / (1 + TRIED * costs.c))
        yield Suggestion(
            f"A drafted token costs {figures.factor(costs.c)} of a plain pass: at γ {TRIED} that "
            f"is {most} times plain at the very most, with all of them kept.",
            "/suffix",
            f"measured: {figures.counted(costs.drafts, 'draft')} of this chat",
        )
    if loaded is None:
        return
    sizes = {each.model: each.parameters for each in known.models}
    size = sizes.get(spec.draft_model) if spec.draft_model != SELF else None
    share = figures.share(size, loaded.model.parameters)
    if drafting and share is not None and share > TENTH:
        told = f"The draft model has {figures.percent(share)} of the target's parameters"
        yield Suggestion(f"{told}; a tenth or less pays.", "/suffix", SOURCE)
    elif spec.draft_model == SELF:
        yield _smaller(loaded, known.models)


def _smaller(loaded: Loaded, models: Sequence[ModelHere]) -> Suggestion:
    most = loaded.model.parameters * TENTH
    fits = [each for each in models if each.parameters and each.parameters <= most]
    best = max(fits, key=lambda each: each.parameters or 0, default=None)
    name, count = one_line(loaded.model.name, 60), figures.count(loaded.model.parameters)
    if best is None:
        return Suggestion(
            f"A draft model should have at most a tenth of the {count} parameters of {name}; "
            "none so small lies here.",
            "",
            SOURCE,
        )
    return Suggestion(
        f"{one_line(best.name, 60)} is small enough to draft for {name}, if their tokenizers "
        "agree; /speculative tries it.",
        f"/drafter {best.model}",
        SOURCE,
    )


def _held(spec: Spec) -> tuple[object, ...]:
    return spec.target, spec.quantize, spec.dtype, spec.triton, spec.device


def _form(spec: Spec) -> str:
    return f"{spec.target} {figures.weights(spec)}"


def _to_form(spec: Spec, now: Spec) -> str:
    if spec.target == "llamacpp":
        return "/runtime llamacpp"
    if spec.quantize != "none":
        return f"/quantize {spec.quantize}"
    return f"/dtype {spec.dtype}" if now.target == spec.target else f"/runtime {spec.target}"


def _to_method(best: Spec, now: Spec) -> str:
    if best.drafter != now.drafter:
        return "/autoregressive" if best.drafter == "plain" else f"/{best.drafter}"
    gamma = best.gamma if best.gamma_policy == "fixed" else best.gamma_policy
    return f"/gamma {gamma}"


def _is_wide(loaded: Loaded) -> bool:
    """float32 weights on a CPU, of a torch target."""
    spec = loaded.spec
    torch = spec.target != "llamacpp" and spec.device == "cpu"
    return (
        torch and spec.quantize == "none" and spec.dtype == "float32" and "weights" in loaded.memory
    )


def _answers(of: MeasuredHere) -> str:
    return f"{figures.counted(of.answers, 'answer')} in {one_line(of.source, 60)}"
