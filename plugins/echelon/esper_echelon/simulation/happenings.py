"""What happens in a decision: damage, deaths and assists, with where."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from attrs import Factory, define, fields, frozen
from numpy.typing import NDArray

from esper_echelon.simulation.mechs import Floats

HAZARD = -1
"""The source of damage that the ground does."""

Places = NDArray[np.int64]


@frozen(eq=False)
class Damage:
    """Damage, a row each: who did it (HAZARD: nobody) to whom, how much hp it took, and where the target stood."""

    match: Places
    source: Places
    target: Places
    amount: Floats
    x: Floats
    y: Floats


@frozen(eq=False)
class Deaths:
    """Deaths, a row each: who did it (HAZARD: nobody), who died, and where."""

    match: Places
    source: Places
    target: Places
    x: Floats
    y: Floats


@frozen(eq=False)
class Assists:
    """Damage that another did to a target under one's paint, a row for each painter."""

    match: Places
    source: Places
    target: Places
    amount: Floats


@frozen(eq=False)
class Happenings:
    """All of one decision, in order."""

    damage: Damage
    deaths: Deaths
    assists: Assists


Rows = TypeVar("Rows", Damage, Deaths, Assists)


@define(eq=False)
class Chronicle:
    """Gathers what happens; one of a decision."""

    damage: list[Damage] = Factory(list)
    deaths: list[Deaths] = Factory(list)
    assists: list[Assists] = Factory(list)

    def finish(self) -> Happenings:
        """Return it in arrays."""
        none, nowhere = np.zeros(0, np.int64), np.zeros(0)
        return Happenings(
            _joined(self.damage or [Damage(none, none, none, nowhere, nowhere, nowhere)]),
            _joined(self.deaths or [Deaths(none, none, none, nowhere, nowhere)]),
            _joined(self.assists or [Assists(none, none, none, nowhere)]),
        )


def _joined(parts: list[Rows]) -> Rows:
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(kind)))
