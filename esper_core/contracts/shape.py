"""Whether what was read has the shape that it should have, said as an attrs class."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs

from esper_core.contracts.errors import DamagedFile

_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
    type(None): "nothing",
}

Shape = TypeVar("Shape")


def shaped(kind: type[Shape], value: Any, where: str, *, exactly: bool = False, hint: str = "") -> Shape:
    """Return a value of JSON as an attrs class; nothing is guessed: "5" is no number, and true is no 1.

    The class may hold numbers, texts, truth values, `Any`, what may be None, lists, tuples of any length, dicts by
    text, and other such classes. Its validators are asked.

    Args:
        kind: The class.
        value: What was read.
        where: Where it was found, for messages.
        exactly: Refuse keys that a class does not have.
        hint: What to do about it.

    Raises:
        DamagedFile: the value has another shape; the message says where in it.
    """
    try:
        return structured(kind, value, exactly=exactly)
    except ValueError as error:
        raise DamagedFile(f"{where} is damaged: {error}.", hint=hint) from error


def structured(kind: type[Shape], value: Any, *, exactly: bool = False) -> Shape:
    """Return what `shaped` returns; raises ValueError that says where in the value it has another shape."""
    result: Shape = _structure(kind, value, "", exactly)
    return result


def _structure(kind: Any, value: Any, name: str, exactly: bool) -> Any:
    """Return a value as a kind; raises ValueError naming the entry."""
    origin, members = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        (inner,) = (member for member in members if member is not type(None))
        return None if value is None else _structure(inner, value, name, exactly)
    if attrs.has(kind):
        return _class(kind, _checked(dict, value, name), name, exactly)
    if origin is dict:
        table = _checked(dict, value, name)
        return {key: _structure(members[1], entry, _within(name, key), exactly) for key, entry in table.items()}
    if origin in (list, tuple):
        entries = _checked(list, value, name)
        return origin(_structure(members[0], entry, f"{name}[{i}]", exactly) for i, entry in enumerate(entries))
    return _checked(kind, value, name)


def _class(kind: Any, table: Mapping[str, Any], name: str, exactly: bool) -> Any:
    known = _fields(kind)
    if unknown := [key for key in table if exactly and key not in known]:
        raise ValueError(f"'{_within(name, unknown[0])}' is not known")
    for key, field in known.items():
        if field.default is attrs.NOTHING and key not in table:
            raise ValueError(f"'{_within(name, key)}' is missing")
    said = {
        key: _structure(field.type, table[key], _within(name, key), exactly)
        for key, field in known.items()
        if key in table
    }
    try:
        return kind(**said)
    except ValueError as error:
        # A validator of attrs hands over more than its sentence.
        raise ValueError(f"{name}: {error.args[0]}" if name else error.args[0]) from error


@cache
def _fields(kind: Any) -> dict[str, attrs.Attribute[Any]]:
    return attrs.fields_dict(attrs.resolve_types(kind))


def _checked(kind: type, value: Any, name: str) -> Any:
    kinds = (int, float) if kind is float else kind
    if isinstance(value, kinds) and (kind is bool or not isinstance(value, bool)):
        return value
    found = f"it is {_WORDS[type(value)]}" if not name else f"'{name}' is {_WORDS[type(value)]}"
    raise ValueError(f"{found}, not {_WORDS[kind]}")


def _within(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
