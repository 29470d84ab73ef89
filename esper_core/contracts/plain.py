"""Plain values: None, truth values, numbers, strings, lists of them, and tables with strings as keys.

`plain` makes a value plain. `to_exact` also keeps what JSON has no word for, and `from_exact` reads that back: a number
that is not finite is `{"$float": "inf"}`, a tuple is `{"$tuple": […]}`, and a key that begins with `$` gets another
`$` before it. Neither numpy nor torch is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FLOAT, TUPLE, MARK = "$float", "$tuple", "$"
_KINDS = "only numbers, strings, None, lists, and tables with strings as keys can be saved"
DEEPEST = 90
"""Tables and lists within one another at most, as they are written; a file may hold a few more around them."""
LONGEST = 300
"""Decimal digits of an integer at most; every such integer is a finite float."""

_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class NotPlain(ValueError):
    """A value that cannot be written as JSON, or that `to_exact` did not write; the text begins with "it"."""

    def __init__(self, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.value = value


def plain(value: Any) -> Any:
    """Return a copy in plain values; tuples become lists, numpy scalars and tensors of no dimension become numbers.

    Raises NotPlain for anything else, such as a set, an array, or a table with integers as keys.
    """
    return _plain(value, "", DEEPEST, False)


def to_exact(value: Any) -> Any:
    """Return what `plain` returns, but such that `from_exact` restores tuples and numbers that are not finite.

    Raises NotPlain as `plain` does, and for a string that is not valid Unicode.
    """
    return _plain(value, "", DEEPEST, True)


def from_exact(value: Any) -> Any:
    """Return the value that `to_exact` wrote; raises NotPlain where a tagged table is not as it writes it."""
    if isinstance(value, list):
        return [from_exact(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {FLOAT} and isinstance(value[FLOAT], str) and value[FLOAT] in _NOT_FINITE:
        return _NOT_FINITE[value[FLOAT]]
    if set(value) == {TUPLE} and isinstance(value[TUPLE], list):
        return tuple(from_exact(entry) for entry in value[TUPLE])
    return {_unmarked(key): from_exact(entry) for key, entry in value.items()}


def _plain(value: Any, place: str, left: int, exactly: bool) -> Any:
    """Return a plain value; `left` more containers may lie within one another."""
    if value is None or isinstance(value, bool):
        return value
    kind = type(value)
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        value = item()
    if isinstance(value, str):
        return _text(value, place) if exactly else str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) or not exactly else {FLOAT: str(float(value))}
    if isinstance(value, int):
        if abs(value) >= 10**LONGEST:
            raise NotPlain(f"it {'holds' if place else 'is'} an integer of more than {LONGEST} digits{_at(place)}")
        return int(value)
    if left <= 0:
        raise NotPlain(f"it holds more than {DEEPEST} tables and lists within one another")
    if isinstance(value, Mapping):
        return {
            _key(key, place, exactly): _plain(entry, f"{place}.{key}" if place else str(key), left - 1, exactly)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        tagged = exactly and isinstance(value, tuple)
        entries = [_plain(entry, f"{place}[{i}]", left - 1 - tagged, exactly) for i, entry in enumerate(value)]
        return {TUPLE: entries} if tagged else entries
    shape = getattr(value, "shape", None)
    what = f"a {kind.__name__}" + (f" of shape {list(shape)}" if isinstance(shape, tuple) and shape else "")
    raise NotPlain(f"it {'holds' if place else 'is'} {what}{_at(place)}; {_KINDS}", value)


def _key(key: Any, place: str, exactly: bool) -> str:
    if not isinstance(key, str):
        raise NotPlain(f"it holds a table with the key {key!r}, which is not a string{_at(place)}; {_KINDS}")
    own = _text(key, place) if exactly else str(key)
    return MARK + own if exactly and own.startswith(MARK) else own


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotPlain(f"it holds a string that is not valid Unicode{_at(place)}: {value!r}") from None
    return str(value)


def _unmarked(key: str) -> str:
    if key.startswith(MARK) and not key.startswith(2 * MARK):
        raise NotPlain(f"'{key}' marks nothing that is known")
    return key.removeprefix(MARK)


def _at(place: str) -> str:
    return f" at '{place}'" if place else ""
