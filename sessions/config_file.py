"""Writes the config file: whole or not at all, with the person's own comments and order."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..engines.events import EngineError
from .bench.plan import Value
from .clean import one_line
from .config import SETTINGS, Preferences, read_config
from .profiles import spelled


def save_preferences(path: Path, wanted: Preferences) -> None:
    """Writes those that the file doesn't say. Raises EngineError where it cannot."""
    said = read_config(path).preferences
    names = [each.name for each in fields(wanted)]
    changed = {
        name: getattr(wanted, name)
        for name in names
        if getattr(wanted, name) != getattr(said, name)
    }
    if changed:
        with _edited(path) as document:
            document.update(changed)


def save_settings(path: Path, wanted: Mapping[str, Value]) -> None:
    """[settings] sets exactly `wanted` afterwards. Raises EngineError where it cannot."""
    with _edited(path) as document:
        _fill(_table(document, "settings", path), wanted)


def save_profile(path: Path, name: str, wanted: Mapping[str, Value]) -> None:
    """The profile `name` sets exactly `wanted` afterwards. Raises EngineError where it cannot."""
    with _edited(path) as document:
        profiles = _table(document, "profiles", path, of_tables=True)
        _fill(_table(profiles, name, path), wanted)


def delete_profile(path: Path, name: str) -> None:
    """Raises EngineError where it cannot."""
    with _edited(path) as document:
        profiles = _table(document, "profiles", path, of_tables=True)
        profiles.pop(name, None)
        if not profiles:
            document.pop("profiles")


def _fill(table: MutableMapping[str, Any], wanted: Mapping[str, Value]) -> None:
    """What has its value already stays as it was written, and so does what is no setting."""
    values = {
        name: spelled(name, value) if value is None else value for name, value in wanted.items()
    }
    for name in [each for each in table if each in SETTINGS and each not in values]:
        del table[name]
    for name, value in values.items():
        if name not in table or table[name] != value:
            table[name] = value


def _table(
    parent: MutableMapping[str, Any], name: str, path: Path, of_tables: bool = False
) -> MutableMapping[str, Any]:
    import tomlkit
    from tomlkit.items import InlineTable

    if name not in parent:
        inline = isinstance(parent, InlineTable)
        new = tomlkit.inline_table() if inline else tomlkit.table(is_super_table=of_tables)
        parent[name] = new
    table = parent[name]
    if not isinstance(table, MutableMapping):
        raise EngineError(f"{name} is no table in {one_line(str(path))}.", "Mend it there first.")
    return table


@contextmanager
def _edited(path: Path) -> Iterator[MutableMapping[str, Any]]:
    """The file as a document that is written back once it is changed."""
    import tomlkit  # not before something is kept: the chat starts without it
    from tomlkit.exceptions import TOMLKitError

    where = one_line(str(path))
    try:
        target = path.resolve()  # a link stays one
        text = target.read_bytes().decode("utf-8-sig") if target.exists() else ""
        document = tomlkit.parse(text)
        yield document
        _replace(target, tomlkit.dumps(document))
    except (TOMLKitError, UnicodeDecodeError) as error:
        told = f"{where} has a fault, so nothing is written over it: {one_line(str(error))}"
        raise EngineError(f"{told.rstrip('.')}.", "Mend it first.") from None
    except OSError as error:
        raise EngineError(
            f"{where} cannot be written: {error.strerror}.",
            "TOKENHUD_CONFIG names another file.",
        ) from None


def _replace(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(None, "it is write-protected")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".config-", suffix=".toml")
    written = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, written)
        written.replace(target)
    except BaseException:
        with suppress(OSError):
            written.unlink()
        raise
