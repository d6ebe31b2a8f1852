"""The two option objects: what runs, and how it picks. Frozen, validated, written to the log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, TypeVar

from .remote_address import address_problem

DTYPES = ("float32", "bfloat16", "float16", "float64")
DRAFTERS = ("plain", "speculative", "ngram", "lookup", "suffix", "chain")
TARGETS = ("auto", "native", "hf", "llamacpp")
QUANTIZATIONS = ("none", "bf16", "int8", "int4", "nf4")
KV_TYPES = ("auto", "f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
SWITCHES = ("auto", "on", "off")
GAMMA_POLICIES = ("auto", "fixed", "heuristic")
NGRAM_STORAGES = ("basic", "onelevel")
SELF = "self"  # the draft model that is the target's own first layers
DEVICES = ("auto", "cpu", "cuda")
DEFAULT_CONTEXT = 8192  # positions, where neither the model nor a person says less
MAX_SEED = 2**63 - 1

Options = TypeVar("Options", "Spec", "Sampling")


class OptionError(ValueError):
    """A value outside its range, in a sentence that names the range."""


def number(default: float | None, low: float, high: float, about: str, off: str = "") -> Any:
    """A numeric field in [low, high]; `off` names the word that stands for None."""
    return field(default=default, metadata={"low": low, "high": high, "about": about, "off": off})


def choice(default: str, names: tuple[str, ...], about: str) -> Any:
    return field(default=default, metadata={"names": names, "about": about})


def name(default: str, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class Spec:
    """What runs: weights, target, drafter and the machine's share."""

    model: str = name("smollm2", "a catalog name, a GGUF file, a checkpoint folder or a hub id")
    url: str = name("", "an OpenAI-compatible server that answers instead of this machine")
    target: str = choice(
        "auto", TARGETS, "what runs the weights: ours, transformers (hf) or llama.cpp"
    )
    drafter: str = choice("plain", DRAFTERS, "what guesses ahead; plain decoding guesses nothing")
    gamma: int = number(4, 1, 64, "drafted tokens a step")
    gamma_policy: str = choice(
        "auto", GAMMA_POLICIES, "auto follows measured cost and acceptance, and may draft nothing"
    )
    draft_model: str = name(SELF, "self, the target's own first layers, or a model of its own")
    draft_layers: int | None = number(None, 1, 1000, "layers of draft_model self", off="auto")
    ngram_n: int = number(3, 2, 16, "tokens of an n-gram: n - 1 of context and one that follows")
    ngram_storage: str = choice(
        "basic", NGRAM_STORAGES, "basic knows contexts of 1 to n - 1 tokens, onelevel of n - 1"
    )
    top_k_filler: int = number(3, 1, 100, "the target's favourites an n-gram learns; 1 is off")
    reset_in_between: str = choice("on", ("on", "off"), "off keeps what a drafter learned")
    dtype: str = choice("float32", DTYPES, "number format of weights and cache")
    quantize: str = choice(
        "none", QUANTIZATIONS, "how the weights of a torch target are held after loading"
    )
    triton: str = choice("auto", SWITCHES, "our own GPU kernels; auto is on where they can run")
    kv_type: str = choice("auto", KV_TYPES, "number format of llama.cpp's KV cache")
    flash_attention: str = choice("auto", SWITCHES, "llama.cpp's fused attention")
    gpu_layers: int | None = number(None, 0, 1000, "layers llama.cpp holds on a GPU", off="auto")
    device: str = choice("auto", DEVICES, "where it runs")
    threads: int | None = number(None, 1, 1024, "processor threads of the engine", off="auto")
    context: int | None = number(
        None, 16, 10_000_000, "positions held for conversation and answer", off="auto"
    )

    def __post_init__(self) -> None:
        _validate(self)
        if problem := address_problem(self.url):
            raise OptionError(f"url {problem}.")


CHOSEN_HERE = ("model", "draft_model", "url")  # of Spec: what a log of somebody's may not choose
WEIGHTS = (  # of Spec: what the weights are opened by; the rest needs no reload
    "model",
    "url",
    "target",
    "dtype",
    "quantize",
    "triton",
    "kv_type",
    "flash_attention",
    "gpu_layers",
    "device",
    "threads",
    "context",
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the target picks, and how long. The order: repetition_penalty, then top_k, top_p and
    min_p on the distribution at temperature 1, then the temperature on what is left."""

    temperature: float = number(0.0, 0.0, 100.0, "0 is greedy, more is freer")
    top_k: int = number(0, 0, 10_000_000, "keep the K likeliest tokens; 0 is off")
    top_p: float = number(1.0, 0.0, 1.0, "keep the likeliest tokens up to this share; 1 is off")
    min_p: float = number(0.0, 0.0, 1.0, "drop tokens below this share of the best; 0 is off")
    repetition_penalty: float = number(
        1.0, 0.1, 10.0, "divides what a token that stands in the text is worth; 1 is off"
    )
    seed: int | None = number(None, 0, MAX_SEED, "the same seed gives the same words", off="random")
    length: int = number(512, 1, 10_000_000, "most tokens of an answer")
    num_beams: int = number(1, 1, 64, "answers that a beam search follows; 1 is no search")
    beam_top_k: int = number(3, 1, 1000, "continuations tried for each beam")
    beam_min_length: float = number(5.0, 0.0, 1e6, "of the length penalty of a beam search")
    beam_alpha: float = number(1.2, 0.0, 10.0, "exponent of the length penalty; 0 is none")
    ignore_eos: str = choice(
        "off", ("on", "off"), "on goes on to the full length whatever the model says"
    )

    def __post_init__(self) -> None:
        _validate(self)

    @property
    def processor(self) -> str:
        """The name the source documents give this combination."""
        if self.temperature == 0:
            return "greedy"
        names = {(False, False): "multinomial", (True, False): "topk"}
        names |= {(False, True): "nucleus", (True, True): "topknucleus"}
        return names[self.top_k > 0, self.top_p < 1]


def chosen_here(spec: Spec) -> dict[str, Any]:
    """What no log may choose."""
    return {name: getattr(spec, name) for name in CHOSEN_HERE}


def limits(options: type[Spec | Sampling], name: str) -> Mapping[str, Any]:
    """What is declared of one field: about, and low, high, off or names."""
    return _fields(options)[name].metadata


def to_record(options: Spec | Sampling) -> dict[str, Any]:
    return asdict(options)


def from_record(options: type[Options], record: Mapping[str, Any]) -> Options:
    """Raises OptionError on an unknown key or a value out of range; absent keys take defaults."""
    unknown = sorted(set(record) - set(_fields(options)))
    if unknown:
        raise OptionError(f"{options.__name__} has no option {', '.join(unknown)}.")
    return options(**record)


def _fields(options: type[Spec | Sampling]) -> dict[str, Field[Any]]:
    return {each.name: each for each in fields(options)}


def _validate(options: Spec | Sampling) -> None:
    for each in fields(options):
        problem = _problem(getattr(options, each.name), each)
        if problem:
            raise OptionError(f"{each.name} {problem}.")


def _problem(value: object, declared: Field[Any]) -> str:
    rule = declared.metadata
    if "names" in rule:
        return "" if value in rule["names"] else f"is one of {', '.join(rule['names'])}"
    if "low" not in rule:
        empty = value == "" != declared.default
        return "" if isinstance(value, str) and not empty else "is a text that is not empty"
    if value is None and rule["off"]:
        return ""
    kinds = (int, float) if "float" in str(declared.type) else (int,)
    whole = "a number" if float in kinds else "a whole number"
    endless = isinstance(value, float) and not math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, kinds) or endless:
        return f"is {whole}"
    if not rule["low"] <= value <= rule["high"]:
        return f"is {whole} from {rule['low']} to {rule['high']}"
    return ""
