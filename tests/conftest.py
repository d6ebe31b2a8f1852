"""Kernels run in Triton's interpreter where there is no GPU.

Triton reads the variable when it is first imported, and other libraries may import it first.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Where kernels run: in the interpreter, or compiled."""
    import torch

    from tokenhud.kernels.launch import interpreted

    if request.param == "cpu" and not interpreted():
        pytest.skip("kernels are compiled for the GPU, not interpreted")
    if request.param == "cuda" and (interpreted() or not torch.cuda.is_available()):
        pytest.skip("there is no GPU to compile for")
    return str(request.param)


@pytest.fixture(autouse=True)
def nothing_of_this_person_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings are read and no session, result or copy is written but the test's own."""
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOKENHUD_CONFIG", str(tmp_path / "config.toml"))
