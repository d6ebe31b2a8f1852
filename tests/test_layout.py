"""The rules of the layout: see the README."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("kernels", "engines", "sessions", "tui")  # from the bottom up
HEAVY = {"torch", "transformers", "llama_cpp"}
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("**/*.py"))


def imported(path: Path) -> set[str]:
    """Top names of absolute imports, and folders of relative ones that lead out of theirs."""
    names: set[str] = set()
    out = len(path.relative_to(ROOT).parts)  # dots that lead to the package
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == out and node.module:
            names.add(f"..{node.module.split('.')[0]}")
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_a_link_in_the_package_and_no_package_itself(folder: str) -> None:
    assert (ROOT / "tokenhud" / folder).resolve() == ROOT / folder
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    above = {f"..{name}" for name in FOLDERS[FOLDERS.index(folder) + 1 :]}
    names = imported(path)
    assert not names & above
    assert "tokenhud" not in names
    if folder != "tui":
        assert "textual" not in names
    if folder in ("tui", "sessions"):
        assert not names & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
