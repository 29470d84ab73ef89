"""Tensors within what components take in and return: tables, lists, NamedTuples and attrs classes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def mapped(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Return a value of the same form with every tensor in it changed; what is no tensor stays as it is."""
    found, put_together = taken_apart(value)
    return put_together(map(change, found))


def taken_apart(value: T) -> tuple[list[Tensor], Callable[[Iterator[Tensor]], T]]:
    """Return the tensors within a value, and what makes a value of the same form of as many others, in this order.

    Whoever makes many values of one form looks at it only once.
    """
    from torch import Tensor

    found: list[Tensor] = []

    def maker(part: Any) -> Callable[[Iterator[Tensor]], Any]:
        if isinstance(part, Tensor):
            found.append(part)
            return next
        if isinstance(part, tuple | list):
            make, makers = getattr(type(part), "_make", type(part)), [maker(entry) for entry in part]
            return lambda given: make([one(given) for one in makers])
        if isinstance(part, Mapping):
            named = [(key, maker(entry)) for key, entry in part.items()]
            return lambda given: {key: one(given) for key, one in named}
        if attrs.has(type(part)):
            kind, fields = type(part), [(entry.alias, entry.name) for entry in attrs.fields(type(part))]
            entries = [(alias, maker(getattr(part, name))) for alias, name in fields]
            return lambda given: kind(**{alias: one(given) for alias, one in entries})
        return lambda given: part

    make = maker(value)
    return found, make


def leaves(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors within a value by where they are, such as `logits.op`; what is no tensor is left out."""
    from torch import Tensor

    if isinstance(value, Tensor):
        return {name: value}
    found: dict[str, Tensor] = {}
    for key, entry in _entries(value):
        found |= leaves(entry, f"{name}.{key}" if name else key)
    return found


def _entries(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), entry) for key, entry in value.items()]
    if attrs.has(type(value)):
        return [(entry.name, getattr(value, entry.name)) for entry in attrs.fields(type(value))]
    if isinstance(value, tuple | list):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    return []
