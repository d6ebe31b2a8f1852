"""From a Spec to an opened model: its files, its text, its weights."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import ModelFiles, resolve
from .events import EngineError, Model, Progress
from .options import Spec
from .parts import Parts
from .text import Text
from .threads import wait_briefly

if TYPE_CHECKING:
    from .hf import HfTarget
    from .native import NativeTarget


def open_model(spec: Spec) -> Generator[Progress, None, Parts]:
    """Finds, converts where needed and loads what `spec` names. Raises EngineError."""
    files = yield from resolve(spec.model)
    text = Text(files.folder)
    yield Progress(time.perf_counter_ns(), "Loading the weights", 0, 0)
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
    )
    return Parts(target, text, model, used, files.notes)


def _opened(folder: Path, spec: Spec) -> tuple[str, NativeTarget | HfTarget]:
    """The target that is asked for; of "auto", ours unless it says that the other one is needed."""
    from .checkpoint import ELSEWHERE
    from .native import open_native

    options = (folder, spec.dtype, spec.device, spec.context, spec.threads)
    if spec.target != "hf":
        try:
            return "native", open_native(*options)
        except EngineError as error:
            if spec.target == "native" or error.remedy != ELSEWHERE:
                raise
    from .hf import open_hf

    return "hf", open_hf(*options)


def _model(files: ModelFiles, text: Text, parameters: int, vocabulary: int) -> Model:
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
