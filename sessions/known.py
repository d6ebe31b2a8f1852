"""Gathers what suggestions rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..engines.available import Availability, availability, forms, torch_cuda
from ..engines.events import Loaded
from ..engines.models_here import ModelHere, models_here
from ..engines.options import Spec
from .bench.saved_results import kept_if_readable
from .config import Config, config_path, read_config
from .gpu import Gpu
from .machine import environment
from .measured_here import MeasuredHere, in_chat, in_results
from .places import results_folder
from .records import Record, outside_trials
from .suggestions import Known, chat_costs


class Around(NamedTuple):
    """What no answer changes: the machine, and what lies on it."""

    runtimes: list[Availability]
    forms: list[Availability]
    models: list[ModelHere]
    measured: list[MeasuredHere]  # of the results that are kept
    servers: list[str]  # of the config file and its profiles
    memory: int | None
    cpus: float
    gpu: bool


def around(gpu: Gpu) -> Around:
    """Takes a second or more where much is kept."""
    found = environment(gpu=gpu)
    about = found["machine_info"]
    no_gpu = gpu.reasons.get("gpu", "")
    return Around(
        availability(no_gpu),
        forms(),
        list(models_here()),
        list(in_results(kept_if_readable(results_folder()), found)),
        saved_servers(read_config(config_path())),
        about["ram_total"],
        about["cpu"]["usable"],
        not no_gpu and bool(torch_cuda()),
    )


def saved_servers(config: Config) -> list[str]:
    found = [each.get("url") for each in (config.settings, *config.profiles.values())]
    return list(dict.fromkeys(url for url in found if isinstance(url, str) and url))


def known(spec: Spec, records: Sequence[Record], there: Around) -> Known:
    """Of a chat, or of nothing but what was loaded."""
    return Known(
        spec=spec,
        loaded=loaded_now(spec, records),
        costs=chat_costs(records),
        here=[*in_chat(records), *there.measured],
        models=there.models,
        memory=there.memory,
        cpus=there.cpus,
        gpu=there.gpu,
    )


def loaded_now(spec: Spec, records: Sequence[Record]) -> Loaded | None:
    """The weights that answer next, unless others are to be loaded first."""
    loads = [each for each in outside_trials(records) if isinstance(each, Loaded)]
    return loads[-1] if loads and loads[-1].spec.url == spec.url else None
