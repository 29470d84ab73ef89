"""A converter that type checkers understand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values as a tuple. As an attrs converter, `tuple` itself leaves type checkers with a free variable."""
    return tuple(values)
