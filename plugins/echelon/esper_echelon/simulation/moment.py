"""What the parts of one step of the simulation work on."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.clouds import Clouds
from esper_echelon.simulation.ground import Grounds
from esper_echelon.simulation.happenings import Chronicle
from esper_echelon.simulation.mechs import Flags, Floats, Mechs
from esper_echelon.simulation.noise import Purpose, uniform
from esper_echelon.simulation.pairs import Pairs
from esper_echelon.simulation.roster import Roster


@frozen(eq=False)
class Moment:
    """One step of the simulation, before one of its parts.

    Attributes:
        mechs: Those of all matches; parts change them.
        bodies: Their properties.
        roster: Their teams.
        grounds: What they stand on.
        clouds: The smoke above them.
        pairs: How they lie to each other.
        live: `[M, A]`; who takes part.
        seeds: uint64 `[M]`.
        clock, side: int64 `[M]`.
        substep: Step of the simulation within the decision.
        chronicle: Where happenings are written down.
    """

    mechs: Mechs
    bodies: Bodies
    roster: Roster
    grounds: Grounds
    clouds: Clouds
    pairs: Pairs
    live: Flags
    seeds: NDArray[np.uint64]
    clock: NDArray[np.int64]
    side: NDArray[np.int64]
    substep: int
    chronicle: Chronicle

    def chance(self, purpose: Purpose) -> Floats:
        """Return a number in [0, 1) for every mech, `[M, A]`."""
        return uniform(self.seeds, self.clock, self.side, self.substep, purpose, len(self.roster.team))

    @cached_property
    def locked(self) -> Flags | None:
        """Whether the first one may use paint on the second one, `[M, A, A]`; None where there is no paint."""
        match, painter, target = np.nonzero(self.mechs.paint > 0)
        if not len(match):
            return None
        row, user = np.nonzero(self.roster.shares_paint[painter])
        locked = np.zeros(self.mechs.paint.shape, np.bool_)
        locked[match[row], user, target[row]] = True
        return locked

    def centre(self, match: NDArray[np.int64], place: NDArray[np.int64]) -> Floats:
        """Return the middles of bodies, `[R, 3]`."""
        xy = self.mechs.position[match, place]
        z = self.mechs.altitude[match, place] + self.bodies.height[place] / 2
        return np.concatenate((xy, z[:, None]), axis=-1)
