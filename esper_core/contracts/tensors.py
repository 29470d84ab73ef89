"""Tensors within what components take in and return: tables, lists, NamedTuples and attrs classes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
from torch import Tensor

T = TypeVar("T")


def mapped(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Return a value of the same form with every tensor in it changed; what is not a tensor stays as it is."""
    found: Any = value
    if isinstance(found, Tensor):
        found = change(found)
    elif isinstance(found, Mapping):
        found = {key: mapped(entry, change) for key, entry in found.items()}
    elif isinstance(found, tuple | list):
        make = getattr(type(found), "_make", type(found))
        found = make(mapped(entry, change) for entry in found)
    elif attrs.has(type(found)):
        found = attrs.evolve(found, **{key: mapped(entry, change) for key, entry in _entries(found)})
    return found


def leaves(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors within a value by where they are, such as `logits.op`; what is not a tensor is left out."""
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
