from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_commands_is_the_program_s_own(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    made = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    assert "| `/length [N]` |" in README
    assert module.with_table(README) == README, "run docs/make.py"


def test_every_local_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", README)
    assert links
    for link in (a or b for a, b in links):
        assert (ROOT / link).exists(), link


def test_the_document_of_the_log_names_every_field():
    from tokenhud.sessions.encoding import KINDS, NAMES

    told = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    for kind, record in KINDS.items():
        (row,) = [line for line in told.splitlines() if line.startswith(f"| `{kind}` |")]
        names = NAMES.get(record, {})
        for each in dataclasses.fields(record):
            assert f"`{names.get(each.name, each.name)}`" in row, (kind, each.name)
