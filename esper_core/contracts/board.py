"""What an environment shows while it runs: a row per environment, a cell per place in it. No tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of, optional

from esper_core.contracts.events import is_number
from esper_core.contracts.foreign import Owner
from esper_core.contracts.tuples import as_tuple

TONES = ("idle", "active", "good", "bad")
"""What a cell means: nothing there, something happens, something was achieved, something went wrong."""


_TEXT = instance_of(str)


def _check_level(_: object, __: object, level: Any) -> None:
    if not is_number(level) or not math.isfinite(level):
        raise ValueError(f"the level of a cell is {level!r}, not a finite number")


@frozen
class Cell:
    """A place in an environment, such as a slot: its state in a word, what is there, how much of it from 0 to 1."""

    state: str = field(validator=_TEXT)
    content: str = field(default="", validator=_TEXT)
    level: float | None = field(default=None, validator=optional(_check_level))
    tone: str = "idle"


@frozen
class Row:
    """An environment: its name, its condition in a few words, and its places, as many in every row."""

    label: str = field(validator=_TEXT)
    text: str = field(validator=_TEXT)
    cells: tuple[Cell, ...] = field(converter=as_tuple, validator=deep_iterable(instance_of(Cell)))


@frozen
class Board:
    """A few environments side by side; `places` are the names of their cells, in order."""

    places: tuple[str, ...] = field(converter=as_tuple, validator=deep_iterable(_TEXT))
    rows: tuple[Row, ...] = field(converter=as_tuple, validator=deep_iterable(instance_of(Row)))


def checked_board(owner: Owner, found: Any) -> Board:
    """Return what an environment shows; raises PluginError where it cannot be drawn."""
    if not isinstance(found, Board) or any(len(row.cells) != len(found.places) for row in found.rows):
        raise owner.breach("its board is not a Board of places and rows, each row with one cell per place")
    return found


@runtime_checkable
class HasBoard(Protocol):
    """An environment that can be looked at while it runs; others need not."""

    def board(self, envs: Sequence[int]) -> Board:
        """Return how some environments are doing now. It is called between steps, and changes nothing."""
