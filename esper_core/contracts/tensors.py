"""Tensors within what components take in and return: tables, lists, NamedTuples and attrs classes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def mapped(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Return a value of the same form with every tensor in it changed; what is no tensor stays as it is."""
    from torch import Tensor

    def made(found: Any) -> Any:
        if isinstance(found, Tensor):
            return change(found)
        if isinstance(found, tuple | list):
            make = getattr(type(found), "_make", type(found))
            return make(made(entry) for entry in found)
        # A dict is told by its type first: this is done at every gradient step, and other tables are rare.
        if type(found) is dict or isinstance(found, Mapping):
            return {key: made(entry) for key, entry in found.items()}
        if attrs.has(type(found)):
            return attrs.evolve(found, **{key: made(entry) for key, entry in _entries(found)})
        return found

    changed: T = made(value)
    return changed


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
