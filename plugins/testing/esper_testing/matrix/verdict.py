"""What a matrix says: claims against measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from esper_testing.matrix.cell import Cell
from esper_testing.spikes.verdict import EXIT_CODES, Colour


@frozen
class Matrix:
    """All cells, tested or not.

    Attributes:
        environment: `kind/name` of the environment all cells share.
    """

    environment: str
    cells: Sequence[Cell]
    seconds: float

    @property
    def colour(self) -> Colour:
        """RED when something was claimed that does not work, YELLOW when something works against the claims."""
        found = {cell.agreement for cell in self.cells}
        return "RED" if "over-claim" in found else "YELLOW" if "under-claim" in found else "GREEN"

    @property
    def exit_code(self) -> int:
        """Process status: 5 for RED, else 0."""
        return EXIT_CODES[self.colour]

    @property
    def untested(self) -> int:
        """Number of cells that nobody tried."""
        return sum(cell.agreement is None for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return the matrix as JSON-able values."""
        return {
            "verdict": self.colour,
            "environment": self.environment,
            "cells": [_cell(cell) for cell in self.cells],
            "untested": self.untested,
            "seconds": round(self.seconds, 3),
        }


def _cell(cell: Cell) -> dict[str, Any]:
    measured = cell.measurement
    return {
        **cell.row,
        "predicted": {"fits": cell.prediction.fits, "reason": cell.prediction.reason or None},
        "measured": {
            "status": measured.status,
            "error": measured.error or None,
            "component": measured.component or None,
            "seconds": round(measured.seconds, 3),
        },
        "agreement": cell.agreement,
    }
