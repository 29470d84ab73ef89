"""The zone: who is in it, who holds it, and what that scores."""

from __future__ import annotations

import numpy as np

from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.tables import CONTESTED_FLOOR


def distance_squared(position: Floats, centre: Floats) -> Floats:
    """Return squared distances `[M, A]` of positions `[M, A, 2]` from centres `[M, 2]`."""
    x, y = position[..., 0] - centre[:, None, 0], position[..., 1] - centre[:, None, 1]
    return x * x + y * y


def weighed(inside: Flags, tonnage: Floats) -> tuple[Floats, Floats]:
    """Return the margin of the learner's team `[M]` in −1..1, and the share of a tick that each team gets, `[M, 2]`.

    A team alone in the zone gets all; where it is contested each gets the floor, and the heavier one more by its
    margin of tonnage; an empty zone gives nothing.

    Args:
        inside: `[M, A]`, who lives and stands in the zone.
        tonnage: `[A]`.
    """
    tons = np.where(inside, tonnage, 0.0).reshape(len(inside), 2, -1).sum(axis=-1)
    total = tons[:, 0] + tons[:, 1]
    margin = (tons[:, 0] - tons[:, 1]) / np.maximum(total, 1.0)
    sides = np.stack((margin, -margin), axis=-1)
    held = (tons > 0).astype(np.float64)
    both = (held[:, 0] * held[:, 1]) > 0
    shared = CONTESTED_FLOOR + np.maximum(sides, 0.0) * (1 - CONTESTED_FLOOR)
    return margin, np.where(both[:, None], shared, held)
