"""Whether what was read has the shape of an attrs class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

import attrs

from esper_core.contracts.errors import DamagedFile

_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    type(None): "null",
}

Shape = TypeVar("Shape")


def shaped(kind: type[Shape], value: Any, where: str, *, exactly: bool = False, hint: str = "") -> Shape:
    """Return a value of JSON as an attrs class; nothing is guessed: "5" is not a number, and true is not 1.

    Fields may be numbers, strings, truth values, `Any`, what may be None, lists, tuples of any length, dicts with
    strings as keys, and other such classes. Validators are called. `exactly` refuses keys that a class does not have.
    Raises DamagedFile, whose message begins with `where` the value was found and says where in it.
    """
    try:
        return structured(kind, value, exactly=exactly)
    except ValueError as error:
        raise DamagedFile(f"{where} is damaged: {error}.", hint=hint) from error


def structured(kind: type[Shape], value: Any, *, exactly: bool = False) -> Shape:
    """Return what `shaped` returns; raises ValueError that says where in the value it has another shape."""
    result: Shape = _read(kind, value, "", exactly)
    return result


def _read(kind: Any, value: Any, place: str, exactly: bool) -> Any:
    origin, members = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return value
    if type(None) in members:
        (other,) = (member for member in members if member is not type(None))
        return None if value is None else _read(other, value, place, exactly)
    wanted = dict if attrs.has(origin) else list if origin is tuple else origin
    allowed: Any = (int, float) if wanted is float else wanted
    if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{_at(place)} is {_WORDS[type(value)]}, not {_WORDS[wanted]}")
    if attrs.has(origin):
        return _read_class(origin, value, place, exactly)
    if wanted is dict:
        return {key: _read(members[1], entry, _within(place, key), exactly) for key, entry in value.items()}
    if wanted is list:
        return origin(_read(members[0], entry, f"{place}[{i}]", exactly) for i, entry in enumerate(value))
    return value


def _read_class(kind: Any, table: dict[str, Any], place: str, exactly: bool) -> Any:
    fields = {field.name: field for field in attrs.fields(attrs.resolve_types(kind))}
    for key in table if exactly else ():
        if key not in fields:
            raise ValueError(f"{_at(_within(place, key))} is not known")
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in table:
            raise ValueError(f"{_at(_within(place, name))} is missing")
    said = {
        name: _read(field.type, table[name], _within(place, name), exactly)
        for name, field in fields.items()
        if name in table
    }
    try:
        return kind(**said)
    except ValueError as error:
        # A validator of attrs adds more to its sentence.
        raise ValueError(f"{_at(place)} is not allowed: {error.args[0]}") from error


def _within(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _at(place: str) -> str:
    return f"'{place}'" if place else "it"
