"""From a Spec to an opened model: its files, its text, its weights."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import progress
from .catalog import ModelFiles, resolve, resolve_gguf
from .events import EngineError, Model, Progress
from .gguf_file import open_gguf
from .options import Spec
from .parts import Parts
from .text import Text
from .threads import wait_briefly

if TYPE_CHECKING:
    from .hf import HfTarget
    from .llamacpp_text import LlamaText
    from .native import NativeTarget


def open_model(spec: Spec) -> Generator[Progress, None, Parts]:
    """Finds, converts where needed and loads what `spec` names. Raises EngineError."""
    opening = _llamacpp if spec.target == "llamacpp" else _torch
    return (yield from opening(spec))


def _torch(spec: Spec) -> Generator[Progress, None, Parts]:
    files = yield from resolve(spec.model)
    text = Text(files.folder)
    yield progress("Loading the weights", 0, 0)
    wait_briefly()
    import torch  # takes seconds: only once the files are known to be there

    cuda = spec.device == "auto" and torch.cuda.is_available()
    device = "cuda" if cuda else "cpu" if spec.device == "auto" else spec.device
    kind, target = _opened(files.folder, replace(spec, device=device))
    model = _model(files, text, target.parameters, target.vocabulary)
    used = replace(
        spec,
        target=kind,
        device=device,
        threads=torch.get_num_threads(),
        context=target.context,
        triton=target.triton,
    )
    return Parts(target, text, model, used, (*files.notes, *target.notes))


def _llamacpp(spec: Spec) -> Generator[Progress, None, Parts]:
    """Without torch, and with the ids that a torch target has for the same file where there can be
    one."""
    from .llamacpp_loading import open_llamacpp
    from .llamacpp_text import OTHER_TOKENIZER, LlamaText, disagreement

    if spec.quantize != "none":
        raise EngineError(
            f"llama.cpp computes with the weights of the GGUF as they are, not in {spec.quantize}.",
            "Use /quantize none, or a GGUF that is quantised otherwise.",
        )
    files = yield from resolve_gguf(spec.model)
    ours = Text(files.folder) if (files.folder / "tokenizer.json").is_file() else None
    file = open_gguf(Path(files.path))
    target, used = yield from open_llamacpp(file, spec)
    try:
        text = ours or LlamaText(files.folder, target.tokens, file)
        note = disagreement(ours, target.tokens) if ours else OTHER_TOKENIZER
    except BaseException:  # whatever it is, the weights must go
        target.close()
        raise
    model = _model(files, text, target.parameters, target.vocabulary)
    return Parts(target, text, model, used, (*files.notes, *([note] if note else [])))


def _opened(folder: Path, spec: Spec) -> tuple[str, NativeTarget | HfTarget]:
    """The target that is asked for; of "auto", ours unless it says that the other one is needed."""
    from .checkpoint import ELSEWHERE
    from .native import open_native

    options = (folder, spec.dtype, spec.device, spec.context, spec.threads, spec.quantize)
    if spec.target != "hf":
        try:
            return "native", open_native(*options, spec.triton)
        except EngineError as error:
            if spec.target == "native" or error.remedy != ELSEWHERE:
                raise
    if spec.triton == "on":
        raise EngineError(
            "Our kernels belong to the native target, which cannot run this model.",
            "Use /triton auto.",
        )
    from .hf import open_hf

    return "hf", open_hf(*options)


def _model(files: ModelFiles, text: Text | LlamaText, parameters: int, vocabulary: int) -> Model:
    return Model(
        name=files.name,
        path=files.path,
        sha256=files.sha256,
        architecture=files.architecture,
        parameters=parameters,
        quantization=files.quantization,
        vocabulary=vocabulary,
        context=files.context,
        template_sha256=text.template_sha256,
        stop_ids=tuple(sorted(text.stop_ids)),
    )
