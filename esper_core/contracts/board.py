"""What an environment shows while it runs: a row per environment, a cell per place in it. No tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from esper_core.contracts.events import is_number
from esper_core.contracts.foreign import Owner
from esper_core.contracts.tuples import as_tuple

TONES = ("idle", "active", "good", "bad")
"""What a cell means: nothing there, something happens, something was achieved, something went wrong."""


@frozen
class Cell:
    """A place in an environment, such as a slot.

    It says in a word what it is doing, what is there, how much of it from 0 to 1, and one of `TONES`.
    """

    state: str
    content: str = ""
    level: float | None = None
    tone: str = "idle"


@frozen
class Row:
    """An environment: its name, its condition in a few words, and its places, as many in every row."""

    label: str
    text: str
    cells: tuple[Cell, ...] = field(converter=as_tuple)


@frozen
class Board:
    """A few environments side by side; `places` are the names of their cells, in order."""

    places: tuple[str, ...] = field(converter=as_tuple)
    rows: tuple[Row, ...] = field(converter=as_tuple)


def checked_board(owner: Owner, found: Any) -> Board:
    """Return what an environment shows; raises PluginError where it cannot be drawn."""
    fine = isinstance(found, Board) and all(isinstance(place, str) for place in found.places)
    if not fine or not all(_is_row(row, len(found.places)) for row in found.rows):
        raise owner.breach("its board is not a Board of places and rows, each row with one cell per place")
    return found


def _is_row(row: Any, places: int) -> bool:
    if not isinstance(row, Row) or not isinstance(row.label, str) or not isinstance(row.text, str):
        return False
    return len(row.cells) == places and all(
        isinstance(cell, Cell)
        and isinstance(cell.state, str)
        and isinstance(cell.content, str)
        and (cell.level is None or (is_number(cell.level) and math.isfinite(cell.level)))
        for cell in row.cells
    )


@runtime_checkable
class HasBoard(Protocol):
    """An environment that can be looked at while it runs; others need not."""

    def board(self, envs: Sequence[int]) -> Board:
        """Return how some environments are doing now. It is called between steps, and changes nothing."""
