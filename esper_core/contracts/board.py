"""What an environment shows of itself while it runs: a row per environment, a cell per place in it. No tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attrs import field, frozen

from esper_core.contracts.tuples import as_tuple

TONES = ("idle", "active", "good", "bad")
"""How a cell is to be taken: nothing there, something happens, something was achieved, something went wrong."""


@frozen
class Cell:
    """A place in an environment, such as a slot.

    Attributes:
        state: What it is doing, in a word.
        content: What lies there; empty for nothing.
        level: How much of it, from 0 to 1; None where there is no such thing.
        tone: One of `TONES`.
    """

    state: str
    content: str = ""
    level: float | None = None
    tone: str = "idle"


@frozen
class Row:
    """An environment.

    Attributes:
        label: Its name, such as `host 0`.
        text: How it fares, in a few words.
        cells: Its places, as many in every row.
    """

    label: str
    text: str
    cells: tuple[Cell, ...] = field(converter=as_tuple)


@frozen
class Board:
    """A few environments side by side.

    Attributes:
        places: Names of the cells, in order.
        rows: The environments.
    """

    places: tuple[str, ...] = field(converter=as_tuple)
    rows: tuple[Row, ...] = field(converter=as_tuple)


@runtime_checkable
class HasBoard(Protocol):
    """An environment that can be looked at while it runs; others need not."""

    def board(self, envs: Sequence[int]) -> Board:
        """Return how some environments are doing now. It is called between steps, and changes nothing."""
        ...
