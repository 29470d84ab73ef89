"""Whether what was read has the shape that it should have, said as an attrs class."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache, partial
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
    wanted: Any = kind
    try:
        result: Shape = _reader(wanted, exactly)(value)
    except _Misshapen as error:
        raise ValueError(f"'{error.place}' {error.reason}" if error.place else f"it {error.reason}") from error
    return result


class _Misshapen(Exception):
    """A value has another shape; whoever reads what it lies in adds to its place on the way out."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason, self.place = reason, place

    def within(self, name: str) -> _Misshapen:
        self.place = name + ("." if self.place and not self.place.startswith("[") else "") + self.place
        return self


Read = Callable[[Any], Any]


@cache
def _reader(kind: Any, exactly: bool) -> Read:
    """Return what reads a kind; it raises _Misshapen."""
    origin, members = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        (inner,) = (_reader(member, exactly) for member in members if member is not type(None))
        return lambda value: None if value is None else inner(value)
    if attrs.has(kind):
        return _class_reader(kind, exactly)
    if origin is dict:
        return _dict_reader(_reader(members[1], exactly))
    if origin in (list, tuple):
        return _list_reader(origin, _reader(members[0], exactly))
    return partial(_checked, kind)


def _class_reader(kind: Any, exactly: bool) -> Read:
    fields = attrs.fields(attrs.resolve_types(kind))
    readers = {field.name: _reader(field.type, exactly) for field in fields}
    needed = [field.name for field in fields if field.default is attrs.NOTHING]

    def read(value: Any) -> Any:
        table, said = _checked(dict, value), {}
        for key, entry in table.items():
            reader = readers.get(key)
            if reader is not None:
                try:
                    said[key] = reader(entry)
                except _Misshapen as error:
                    raise error.within(key) from None
            elif exactly:
                raise _Misshapen("is not known", key)
        for key in needed:
            if key not in said:
                raise _Misshapen("is missing", key)
        try:
            return kind(**said)
        except ValueError as error:
            # A validator of attrs hands over more than its sentence.
            raise _Misshapen(f"is not allowed: {error.args[0]}") from error

    return read


def _dict_reader(inner: Read) -> Read:
    def read(value: Any) -> Any:
        said = {}
        for key, entry in _checked(dict, value).items():
            try:
                said[key] = inner(entry)
            except _Misshapen as error:
                raise error.within(key) from None
        return said

    return read


def _list_reader(make: type, inner: Read) -> Read:
    def read(value: Any) -> Any:
        said = []
        for i, entry in enumerate(_checked(list, value)):
            try:
                said.append(inner(entry))
            except _Misshapen as error:
                raise error.within(f"[{i}]") from None
        return make(said)

    return read


def _checked(kind: type, value: Any) -> Any:
    if isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise _Misshapen(f"is {_WORDS[type(value)]}, not {_WORDS[kind]}")
