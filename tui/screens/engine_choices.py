"""What can be chosen to run, with the line that chooses it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ...engines.available import KERNELS, Availability
from ...engines.events import Loaded
from ...engines.gguf_path import EMBEDDED, is_gguf
from ...engines.models_here import ModelHere
from ...engines.options import DRAFTERS, Sampling, Spec
from ...sessions import figures
from ...sessions.clean import one_line
from ...sessions.records import Record, Setting
from ..commands.decoding import DECODING
from ..commands.remote import HERE

RUNTIMES = {  # by the names of engines.available
    "native cpu": ("native", "our own forward of the Llama and Qwen2 families", "/runtime native"),
    "native cuda": ("native on a GPU", "the same on an NVIDIA device", "/device cuda"),
    KERNELS: ("our GPU kernels", "our own Triton kernels in the native target", "/triton on"),
    "hf": ("hf", "transformers: every other architecture", "/runtime hf"),
    "llamacpp": ("llama.cpp", "GGUF files as they are", "/runtime llamacpp"),
}
BEAMS = "/beam 4"
SUMMARIES = {each.name: each.summary for each in DECODING}
Asked = Callable[[Spec], bool]
Mark = Literal["runs", "next", ""]  # now, or from the next answer on


@dataclass(frozen=True, slots=True)
class Choice:
    section: str
    name: str
    about: str  # in a sentence
    line: str  # that could be typed; "" where it cannot run
    why: tuple[str, ...] = ()  # why it cannot, and the command that installs it
    facts: str = ""  # its size and the like
    asked: Asked | None = None  # whether what a spec names is this, where speed can be measured
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class Running:
    """What answers, and what is asked to answer next."""

    spec: Spec
    sampling: Sampling
    loaded: Loaded | None

    def mark(self, asked: Asked) -> Mark:
        if self.loaded and asked(self.loaded.spec):
            return "runs"
        return "next" if asked(self.spec) else ""


def runtimes(found: Sequence[Availability], running: Running) -> Iterator[Choice]:
    for each in found:
        name, about, line = RUNTIMES[each.name]
        why = () if each.ready else tuple(each.reasons)
        if each.name == "llamacpp" and each.ready and not is_gguf(running.spec.model):
            why = (f"{one_line(running.spec.model, 60)} is no GGUF file.",)
        asked = _runtime(each.name)
        facts = each.why if each.ready else ""
        line, mark = "" if why else line, running.mark(asked)
        yield Choice("Runtimes", name, _sentence(about), line, why, facts, asked, mark)


def forms_of_weights(found: Sequence[Availability], running: Running) -> Iterator[Choice]:
    for each in found:
        asked = _form(each.name)
        why = () if each.ready else tuple(each.reasons)
        line = f"/quantize {each.name}" if each.ready else ""
        about = _sentence(each.why if each.ready else "4 bits, by bitsandbytes")
        yield Choice("Weights", each.name, about, line, why, "", asked, running.mark(asked))


def drafters(running: Running) -> Iterator[Choice]:
    """They change from the next answer on and need no loading; a beam search drafts nothing."""
    searching = running.sampling.num_beams > 1
    for name in DRAFTERS:
        command = "autoregressive" if name == "plain" else name
        mark: Mark = "runs" if running.spec.drafter == name and not searching else ""
        yield Choice(
            "Drafters",
            name,
            _sentence(SUMMARIES[command]),
            f"/{command}",
            asked=_drafter(name),
            mark=mark,
        )
    yield Choice(
        "Drafters", "beam", _sentence(SUMMARIES["beam"]), BEAMS, mark="runs" if searching else ""
    )


def models(found: Iterable[ModelHere], running: Running) -> Iterator[Choice]:
    for each in found:
        included = each.model in EMBEDDED
        line = f"/llama {each.model}" if each.gguf and not included else f"/model {each.model}"
        told = ["included"] if included else []
        told += [figures.size(each.size), f"{figures.count(each.parameters)} parameters", each.kind]
        yield Choice(
            "Models here",
            one_line(each.name, 60),
            f"{one_line(each.model)}.",
            line if each.model.isprintable() else "",
            () if each.model.isprintable() else ("Its name cannot be typed.",),
            " · ".join(told),
            mark=running.mark(_model(each.model)),
        )


def servers(known: Sequence[str], running: Running) -> Iterator[Choice]:
    """This machine too: it is what one comes back to from a server."""
    here: Mark = "" if running.spec.url else "runs"
    yield Choice("Servers", "this machine", "No server answers.", f"/engine {HERE}", mark=here)
    for url in known:
        shown = one_line(url)
        asked = _server(url)
        yield Choice(
            "Servers",
            shown,
            "An OpenAI-compatible server.",
            f"/engine {url}",
            asked=asked,
            mark=running.mark(asked),
        )


def used_servers(records: Iterable[Record]) -> list[str]:
    """The addresses that a chat was answered from or asked to be, latest first."""
    found: dict[str, None] = {}
    for record in records:
        match record:
            case Loaded(spec=Spec(url=url)) if url:
                found[url] = found.pop(url, None)
            case Setting(name="url", value=str(url)) if url:
                found[url] = found.pop(url, None)
            case _:
                pass
    return list(found)[::-1]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _runtime(name: str) -> Asked:
    def asked(spec: Spec) -> bool:
        if spec.url or name in ("hf", "llamacpp"):
            return not spec.url and spec.target == name
        if name == KERNELS:
            return spec.target == "native" and spec.triton == "on"
        return spec.target == "native" and spec.device == name.removeprefix("native ")

    return asked


def _form(name: str) -> Asked:
    return lambda spec: not spec.url and spec.target != "llamacpp" and spec.quantize == name


def _drafter(name: str) -> Asked:
    return lambda spec: not spec.url and spec.drafter == name


def _model(name: str) -> Asked:
    return lambda spec: not spec.url and spec.model == name


def _server(url: str) -> Asked:
    return lambda spec: spec.url == url
