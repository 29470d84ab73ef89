"""How all mechs of a match lie to each other, worked out once per step of the simulation."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.happenings import Places
from esper_echelon.simulation.mechs import Flags, Floats


@frozen(eq=False)
class Spacing:
    """What of pairs never changes, `[A, A]`.

    Attributes:
        touching: Squared sum of the radii; −1 with oneself.
        share: Part of a push that the first one takes: the second one's part of both tonnages.
    """

    touching: Floats
    share: Floats

    @classmethod
    def of(cls, bodies: Bodies) -> Spacing:
        """Return that of bodies."""
        reach = bodies.radius[:, None] + bodies.radius[None, :]
        touching = reach * reach
        np.fill_diagonal(touching, -1.0)
        return cls(touching, bodies.tonnage[None, :] / (bodies.tonnage[:, None] + bodies.tonnage[None, :]))


@frozen(eq=False)
class Pairs:
    """Arrays `[M, A, A]`: the vector from the first to the second, and its squared length.

    Seen from the other side every vector has the other sign, and the vector back is exactly the vector with the other
    sign.
    """

    bodies: Bodies
    spacing: Spacing
    x: Floats
    y: Floats
    squared: Floats

    @classmethod
    def of(cls, bodies: Bodies, spacing: Spacing, position: Floats) -> Pairs:
        """Return those of positions `[M, A, 2]`."""
        px, py = np.ascontiguousarray(position[..., 0]), np.ascontiguousarray(position[..., 1])
        x, y = px[:, None, :] - px[:, :, None], py[:, None, :] - py[:, :, None]
        return cls(bodies, spacing, x, y, x * x + y * y)

    def push(self, altitude: Floats, live: Flags) -> Floats | None:
        """Return by how much overlapping bodies of the living push each other, `[M, A, 2]`; None where none do.

        A body above another, or below it, is not in its way.
        """
        match, first, second = np.nonzero(self.squared < self.spacing.touching)
        low, high = altitude[match, first], altitude[match, second]
        height = self.bodies.height
        real = live[match, first] & live[match, second]
        real &= (low < high + height[second]) & (high < low + height[first])
        match, first, second = match[real], first[real], second[real]
        if not len(match):
            return None
        distance = np.sqrt(self.squared[match, first, second])
        overlap = np.sqrt(self.spacing.touching[first, second]) - distance
        pushed = -overlap * self.spacing.share[first, second] / np.maximum(distance, 1e-9)
        pushes = (pushed * axis[match, first, second] for axis in (self.x, self.y))
        return np.stack([by_team(live.shape, match, first, second, amount) for amount in pushes], axis=-1)


def by_team(shape: tuple[int, ...], match: Places, place: Places, cause: Places, amount: Floats) -> Floats:
    """Sum amounts by place, `[M, A]`, each team's causes for themselves first.

    So exchanging the teams changes no bit of a sum. A cause of −1 counts as the learner's team.
    """
    matches, places = shape
    other = cause >= places // 2
    sums = np.bincount((match * places + place) * 2 + other, amount, 2 * matches * places)
    return np.asarray((sums[0::2] + sums[1::2]).reshape(matches, places))
