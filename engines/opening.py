"""From a Spec to an opened model: its files, its text, its weights."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from .catalog import ModelFiles, resolve
from .events import Model, Progress
from .local import Parts
from .options import Spec
from .text import Text
from .threads import wait_briefly


def open_model(spec: Spec) -> Generator[Progress, None, Parts]:
    """Finds, converts where needed and loads what `spec` names. Raises EngineError."""
    files = yield from resolve(spec.model)
    text = Text(files.folder)
    yield Progress(time.perf_counter_ns(), "Loading the weights", 0, 0)
    wait_briefly()
    import torch  # takes seconds: only once the files are known to be there

    from .native import open_native

    cuda = spec.device == "auto" and torch.cuda.is_available()
    device = "cuda" if cuda else "cpu" if spec.device == "auto" else spec.device
    target = open_native(files.folder, spec.dtype, device, spec.context, spec.threads)
    model = _model(files, text, target.parameters, target.vocabulary)
    used = replace(spec, device=device, threads=torch.get_num_threads(), context=target.context)
    return Parts(target, text, model, used, files.notes)


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
