"""A model of the Hugging Face Hub, as the folder that its own cache keeps."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import progress, require_space
from .events import EngineError, Progress
from .folder import whole

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


def fetch(name: str) -> Generator[Progress, None, Path]:
    """The folder of `org/name`. A whole cached copy is used as it is, without the network, so a
    model never changes under a session."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise EngineError(
            f"{name} is on the Hugging Face Hub, and huggingface_hub is not installed.",
            "Run: pip install 'tokenhud[hf]'",
        ) from None
    folder = _cached(name)
    if folder is None:
        folder = yield from _download(name)
    return folder


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if whole(folder) else None


def _download(name: str) -> Generator[Progress, None, Path]:
    from huggingface_hub import HfApi, constants

    try:
        yield progress("Asking the Hub", 0, 0)
        info = HfApi().model_info(name, files_metadata=True)
        files = [each for each in info.siblings or [] if _wanted(each.rfilename)]
        if not any(each.rfilename.endswith(".safetensors") for each in files):
            raise EngineError(
                f"{name} has no .safetensors weights.",
                "Name another model, or download one of its .gguf files and give its path.",
            )
        cache = Path(constants.HF_HUB_CACHE)
        cache.mkdir(parents=True, exist_ok=True)
        require_space(cache, sum(each.size or 0 for each in files), f"Downloading {name}")
        return (yield from _files(name, info.sha, files))
    except EngineError:
        raise
    except Exception as error:  # which HTTP library raises depends on huggingface_hub's version
        raise EngineError(
            f"{name} is not in the local cache and could not be fetched: {_reason(error)}",
            "Check the name, the network, HF_HUB_OFFLINE and, for gated models, HF_TOKEN.",
        ) from error


def _files(
    name: str, revision: str | None, files: list[RepoSibling]
) -> Generator[Progress, None, Path]:
    from huggingface_hub import hf_hub_download

    done, total = 0, sum(each.size or 0 for each in files)
    for each in files:
        yield progress(f"Downloading {each.rfilename}", done, total)
        path = hf_hub_download(name, each.rfilename, revision=revision)
        done += each.size or 0
    yield progress("Downloading", done, total)
    return Path(path).parent


def _wanted(name: str) -> bool:
    return "/" not in name and name.endswith((".json", ".jinja", ".safetensors"))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
