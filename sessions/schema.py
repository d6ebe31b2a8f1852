"""Readers of plain JSON values, made from the types that dataclasses declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..engines.options import OptionError, Sampling, Spec, from_record
from .clean import one_line

Reader = Callable[[Any, str], Any]  # a JSON value and what to call it; raises RecordError
Names = Mapping[type, Mapping[str, str]]  # of fields in JSON, where they differ
_LARGEST = 2**63 - 1
_DEEPEST = 50  # lists and objects inside one another, where a field may hold anything


class RecordError(ValueError):
    """Why a line is no record: a phrase that follows "line 3 "."""


def reader(hint: Any, names: Names) -> Reader:
    """What turns JSON into a value of the type `hint`: no conversions, no negative numbers."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _one_of(inside)
    if origin in (Union, UnionType):
        kinds = [reader(each, names) for each in inside if each is not NoneType]
        return _either(kinds, nullable=NoneType in inside)
    if origin is tuple:
        return _tuple(reader(inside[0], names))
    if origin is dict:
        return _dict(reader(inside[1], names))
    if hint in (Spec, Sampling):
        return _options(hint, names.get(hint, {}))
    assert is_dataclass(hint), hint
    return _record(hint, names)


def _integer(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise RecordError(f"needs a whole number, 0 or more, for {name}")
    return value


def _real(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _LARGEST:
        raise RecordError(f"needs a number, 0 or more, for {name}")
    return float(value)


def _exactly(kind: type, words: str) -> Reader:
    def read(value: Any, name: str) -> Any:
        if type(value) is not kind:
            raise RecordError(f"needs {words} for {name}")
        return value

    return read


def _anything(value: Any, name: str, levels: int = _DEEPEST) -> Any:
    """What is nested deeper could be read but not written again."""
    if levels == 0:
        raise RecordError(f"nests {name} too deeply")
    for each in value.values() if type(value) is dict else value if type(value) is list else ():
        _anything(each, name, levels - 1)
    return value


_SCALARS: dict[Any, Reader] = {
    int: _integer,
    float: _real,
    str: _exactly(str, "a text"),
    bool: _exactly(bool, "true or false"),
    Any: _anything,
}


def _one_of(words: tuple[Any, ...]) -> Reader:
    def read(value: Any, name: str) -> Any:
        if type(value) is not str or value not in words:
            raise RecordError(f"needs one of {', '.join(words)} for {name}")
        return value

    return read


def _either(readers: list[Reader], nullable: bool) -> Reader:
    *others, last = readers

    def read(value: Any, name: str) -> Any:
        if value is None and nullable:
            return None
        for each in others:
            with suppress(RecordError):
                return each(value, name)
        return last(value, name)

    return read


def _tuple(item: Reader) -> Reader:
    def read(value: Any, name: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise RecordError(f"needs a list for {name}")
        return tuple([item(each, name) for each in value])

    return read


def _dict(item: Reader) -> Reader:
    def read(value: Any, name: str) -> dict[str, Any]:
        return {key: item(each, f"{name}.{key}") for key, each in _object(value, name).items()}

    return read


def _object(value: Any, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise RecordError(f"needs an object for {name}")
    return value


def _options(options: Any, names: Mapping[str, str]) -> Reader:
    ours: dict[str, str] = {theirs: name for name, theirs in names.items()}

    def read(value: Any, name: str) -> Any:
        record = {ours.get(key, key): each for key, each in _object(value, name).items()}
        try:
            return from_record(options, record)
        except (OptionError, OverflowError) as error:
            raise RecordError(f"has an option out of range: {one_line(str(error))}") from None

    return read


def _record(record: Any, names: Names) -> Reader:
    hints, theirs = get_type_hints(record), names.get(record, {})
    parts = [
        (theirs.get(each.name, each.name), reader(hints[each.name], names), each.default)
        for each in fields(record)
    ]
    known = {key for key, _, _ in parts}

    def read(value: Any, name: str) -> Any:
        if unknown := _object(value, name).keys() - known:
            raise RecordError(f"has unknown fields: {one_line(', '.join(sorted(unknown)))}")
        return record(
            *[
                part(value[key], key) if key in value else _absent(key, default)
                for key, part, default in parts
            ]
        )

    return read


def _absent(key: str, default: Any) -> Any:
    if default is MISSING:
        raise RecordError(f"lacks {key}")
    return default
