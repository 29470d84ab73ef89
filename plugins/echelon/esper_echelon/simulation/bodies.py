"""What the tables say of the mech at every place, as arrays."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from esper_echelon.simulation.mechs import Floats
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import CHASSIS


@frozen(eq=False)
class Bodies:
    """Arrays `[A]` of the properties of CHASSIS by place."""

    radius: Floats
    height: Floats
    max_speed: Floats
    max_yaw: Floats
    jet: Floats
    hp: Floats
    capacity: Floats
    dissipation: Floats
    tonnage: Floats

    @classmethod
    def of(cls, roster: Roster) -> Bodies:
        """Return those of a roster."""

        def by_place(name: str) -> Floats:
            return np.array([getattr(known, name) for known in CHASSIS], np.float64)[roster.chassis]

        return cls(
            radius=by_place("width") / 2,
            height=by_place("height"),
            max_speed=by_place("max_speed"),
            max_yaw=by_place("max_yaw"),
            jet=by_place("jet"),
            hp=by_place("hp"),
            capacity=by_place("heat_capacity"),
            dissipation=by_place("dissipation"),
            tonnage=by_place("tonnage"),
        )
