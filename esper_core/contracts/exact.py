"""Values as JSON that reads back exactly: what JSON has no word for is written as a tagged table, or refused.

A number that is not finite is `{"$float": "inf"}`, a tuple is `{"$tuple": […]}`, and a key of the value's own that
begins with `$` is written with another `$` before it. Everything else is written as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

FLOAT, TUPLE, MARK = "$float", "$tuple", "$"
DEEPEST = 100
"""Tables and lists within one another that can be kept."""
LONGEST = 4000
"""Decimal digits of a whole number that can be kept; Python reads hardly more."""

_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class Inexact(ValueError):
    """A value that JSON cannot hold, or that was not written by `to_exact`; the text says what and where.

    Attributes:
        value: What cannot be held.
    """

    def __init__(self, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.value = value


def to_exact(value: Any) -> Any:
    """Return a value made of None, booleans, numbers, texts, lists, tuples and tables as JSON; `from_exact` reads it.

    Numpy's scalars and tensors of no dimension are the numbers they hold.

    Raises:
        Inexact: it holds something else, keys that are no texts, or is nested deeper than `DEEPEST`.
    """
    return _written(value, ())


def from_exact(value: Any) -> Any:
    """Return the value that `to_exact` wrote.

    Raises:
        Inexact: a tagged table is not as `to_exact` writes it.
    """
    if isinstance(value, list):
        return [from_exact(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {FLOAT} and isinstance(value[FLOAT], str) and value[FLOAT] in _NOT_FINITE:
        return _NOT_FINITE[value[FLOAT]]
    if set(value) == {TUPLE} and isinstance(value[TUPLE], list):
        return tuple(from_exact(entry) for entry in value[TUPLE])
    return {_own_key(key): from_exact(entry) for key, entry in value.items()}


def _written(value: Any, path: tuple[str, ...]) -> Any:
    if len(path) > DEEPEST:
        raise Inexact(f"it holds more than {DEEPEST} tables and lists within one another")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if abs(value) >= 10**LONGEST:
            raise Inexact(f"it holds a whole number of more than {LONGEST} digits{_at(path)}")
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT: str(float(value))}
    if isinstance(value, Mapping):
        return dict(_entries(value, path))
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        # A number of numpy's, or a tensor of no dimension.
        return _written(item(), path)
    if isinstance(value, list | tuple):
        entries = [_written(entry, (*path, str(number))) for number, entry in enumerate(value)]
        return {TUPLE: entries} if isinstance(value, tuple) else entries
    found = f"holds a {type(value).__name__}{_at(path)}" if path else f"is a {type(value).__name__}"
    raise Inexact(f"it {found}, which cannot be kept as it is", value)


def _entries(value: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if not isinstance(key, str):
            raise Inexact(f"it holds a table{_at(path)} with the key {key!r}, which is no text")
        own = _text(key, path)
        yield (MARK + own if own.startswith(MARK) else own), _written(entry, (*path, key))


def _text(value: str, path: tuple[str, ...]) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Inexact(f"it holds a text{_at(path)} that is no Unicode: {value!r}") from None
    return str(value)


def _own_key(key: str) -> str:
    if not key.startswith(MARK):
        return key
    if not key.startswith(2 * MARK):
        raise Inexact(f"'{key}' marks nothing that is known")
    return key.removeprefix(MARK)


def _at(path: tuple[str, ...]) -> str:
    return f" at '{'.'.join(path)}'" if path else ""
