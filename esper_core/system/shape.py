"""Whether what was read has the shape of an attrs class."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, TypeVar, Union, get_args, get_origin

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
Read = Callable[[Any], Any]


def shaped(kind: type[Shape], value: Any, where: str, *, exactly: bool = False, hint: str = "") -> Shape:
    """Return a value of JSON as an attrs class; nothing is guessed: "5" is not a number, and true is not 1.

    Fields may be numbers, strings, truth values, `Any`, what may be None, lists, tuples of any length, dicts with
    strings as keys, and other such classes. Validators are called. `exactly` refuses keys that a class does not have.

    Raises:
        DamagedFile: the value has another shape; the message begins with `where` it was found and says where in it.
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
    """A value has another shape."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason, self.place = reason, place


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
        inner = _reader(members[1], exactly)
        return lambda value: dict(_entries((key, entry, inner) for key, entry in _checked(dict, value).items()))
    if origin in (list, tuple):
        inner = _reader(members[0], exactly)
        return lambda value: origin(
            entry for _, entry in _entries((f"[{i}]", entry, inner) for i, entry in enumerate(_checked(list, value)))
        )
    return partial(_checked, kind)


def _class_reader(kind: Any, exactly: bool) -> Read:
    fields = attrs.fields(attrs.resolve_types(kind))
    readers = {field.name: _reader(field.type, exactly) for field in fields}
    needed = [field.name for field in fields if field.default is attrs.NOTHING]

    def read(value: Any) -> Any:
        table = _checked(dict, value)
        for key in table if exactly else ():
            if key not in readers:
                raise _Misshapen("is not known", key)
        for key in needed:
            if key not in table:
                raise _Misshapen("is missing", key)
        said = dict(_entries((key, table[key], reader) for key, reader in readers.items() if key in table))
        try:
            return kind(**said)
        except ValueError as error:
            # A validator of attrs passes more than its sentence.
            raise _Misshapen(f"is not allowed: {error.args[0]}") from error

    return read


def _entries(entries: Iterable[tuple[str, Any, Read]]) -> Iterator[tuple[str, Any]]:
    """Yield each name with what its entry is read as; an error gets the name as part of its place."""
    for name, entry, read in entries:
        try:
            yield name, read(entry)
        except _Misshapen as error:
            dot = "." if error.place and not error.place.startswith("[") else ""
            raise _Misshapen(error.reason, name + dot + error.place) from None


def _checked(kind: type, value: Any) -> Any:
    if isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise _Misshapen(f"is {_WORDS[type(value)]}, not {_WORDS[kind]}")
