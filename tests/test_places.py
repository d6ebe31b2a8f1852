from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.events import EngineError
from tokenhud.sessions import places
from tokenhud.sessions.places import (
    deleted_folder,
    explicit_path,
    list_sessions,
    locate,
    numbered,
    session_folder,
    session_path,
)


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a folder that this person may not enter, for root too."""

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any = ".", *args: Any, **named: Any) -> Any:
            inside = Path(path).is_relative_to(folder)
            if inside and (Path(path) != folder or real is not stat):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *args, **named)

        return refuse

    stat = Path.stat
    monkeypatch.setattr(Path, "stat", refusing(stat))
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


BAD_NAMES = [
    "../../x", "tmp/x", "a/b", ".", "..", "", "   ", "x" * 300, "字" * 100, "a\0b", "a\nb", "-rf",
    ".hidden", "a\u2044b", "a\u2215b", "a\uff0fb", "a\\b", "~x", "a:b", "\u202ex", "x\x1b[2J", "*",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="letters, digits") as refused:
        session_path(name, tmp_path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("chat", "chat.jsonl"),
        ("chat.jsonl", "chat.jsonl"),
        (" two words ", "two words.jsonl"),
        ("v1.2_final-3", "v1.2_final-3.jsonl"),
        ("übung 日本語 हिन्दी", "übung 日本語 हिन्दी.jsonl"),
    ],
)
def test_names_that_are_taken(tmp_path: Path, name: str, file: str) -> None:
    assert session_path(name, tmp_path) == tmp_path / file


@given(st.text(max_size=12) | st.text(st.sampled_from("./-a \\~\0字"), max_size=8))
def test_no_name_leaves_the_folder(name: str) -> None:
    folder = Path("/nowhere/sessions")
    try:
        path = session_path(name, folder)
    except EngineError:
        return
    assert path.parent == folder
    assert Path(os.path.normpath(path)) == path


def test_a_link_in_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.touch()
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "link.jsonl").symlink_to(outside)
    (folder / "alias.jsonl").symlink_to(folder / "other.jsonl")
    for name in ("link", "alias"):
        with pytest.raises(EngineError, match="link"):
            session_path(name, folder)
    assert list_sessions(folder) == []


def test_a_path_is_told_from_a_name(tmp_path: Path) -> None:
    assert locate(f"{tmp_path}/x.jsonl", Path("/elsewhere")) == tmp_path / "x.jsonl"
    assert locate("x", tmp_path) == tmp_path / "x.jsonl"


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert explicit_path("~/x.jsonl") == tmp_path / "x.jsonl"


def test_paths_that_are_refused(tmp_path: Path) -> None:
    for path in (str(tmp_path), f"{tmp_path}/none/x", f"{tmp_path}/a\0b", "~nobody-here/x", "x"):
        with pytest.raises(EngineError):
            explicit_path(path)


def test_a_folder_that_refuses_is_told_and_not_called_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "there.jsonl").touch()
    forbid(monkeypatch, tmp_path)
    for act in (
        lambda: session_path("x", tmp_path),
        lambda: deleted_folder(tmp_path),
        lambda: explicit_path(f"{tmp_path}/x.jsonl"),
        lambda: list_sessions(tmp_path),
    ):
        with pytest.raises(EngineError, match="cannot be reached: Permission denied"):
            act()


def test_a_folder_whose_files_may_only_be_named_is_not_called_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Unseen(NamedTuple):
        name: str = "x.jsonl"

        def is_file(self, *, follow_symlinks: bool) -> bool:
            return not follow_symlinks

        def stat(self, **_: bool) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", lambda _: nullcontext([Unseen()]))
    with pytest.raises(EngineError, match="cannot be reached: Permission denied"):
        list_sessions(tmp_path)


def test_numbering_keeps_the_suffix() -> None:
    names = [path.name for path in islice(numbered(Path("/a/x.y.jsonl")), 3)]
    assert names == ["x.y.jsonl", "x.y-2.jsonl", "x.y-3.jsonl"]


def test_sessions_are_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "old", "oldest"]):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("x")
        os.utime(file, (1000 - age, 1000 - age))
    (tmp_path / "x.jsonl.torn").touch()
    (tmp_path / ".hidden.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    assert [session.name for session in list_sessions(tmp_path)] == ["new", "old", "oldest"]
    assert list_sessions(tmp_path)[0].size == 1
    assert list_sessions(tmp_path / "missing") == []


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENHUD_HOME", "/data/hud")
    assert session_folder() == Path("/data/hud/sessions")
    monkeypatch.delenv("TOKENHUD_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/xdg")
    assert session_folder() == Path("/data/xdg/tokenhud/sessions")


def test_without_a_home_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(*_: object, **__: object) -> Path:
        raise RuntimeError

    monkeypatch.delenv("TOKENHUD_HOME", raising=False)
    monkeypatch.setattr(places, "user_data_path", no_home)
    assert list_sessions(session_folder()) == []
    with pytest.raises(OSError, match="/dev/null"):
        session_folder().mkdir(parents=True)
