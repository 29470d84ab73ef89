"""Plain values: what JSON writes and reads back. Neither numpy nor torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANING = "Numbers, text, None, lists of them, and tables with text as keys can be saved."
DEEPEST = 100
"""Lists and tables within each other; what goes on beyond most likely holds itself."""


class NotPlain(Exception):
    """A value that cannot be saved; the text continues a sentence about what holds it."""


def plain(value: Any, where: str = "") -> Any:
    """Return a copy in plain values, in which numpy scalars and tensors of no dimension have become numbers, exactly.

    Args:
        value: What is to be saved.
        where: Key under which it lies, for messages.

    Raises:
        NotPlain: it is, or holds, something else, such as a set, an array, or a table with numbers as keys.
    """
    return _plain(value, where, DEEPEST)


def _plain(value: Any, where: str, left: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if left == 0:
        raise NotPlain(f"goes deeper than {DEEPEST} levels{_under(where)}")
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(entry, _join(where, key), left - 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{position}]", left - 1) for position, entry in enumerate(value)]
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        value = item()
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    shape = getattr(value, "shape", None)
    what = f"a {kind.__name__}" + (f" of shape {list(shape)}" if isinstance(shape, tuple) and shape else "")
    raise NotPlain(f"holds {what}{_under(where)}")


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise NotPlain(f"holds a table with the key {key!r}, which is no text{_under(where)}")
    return str(key)


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _under(where: str) -> str:
    return f" under '{where}'" if where else ""
