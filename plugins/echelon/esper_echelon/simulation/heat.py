"""Heat: what is emitted, vented and taken from the ground; beyond its capacity a mech shuts down."""

from __future__ import annotations

import numpy as np

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.mechs import Flags, Floats, Mechs
from esper_echelon.simulation.orders import Orders
from esper_echelon.simulation.tables import DT, ECCM_HEAT, ECM_HEAT, VENT_FACTOR

LAVA_HEAT, WATER_HEAT, LAVA_DAMAGE = 40.0, -30.0, 5.0
"""Heat and damage per second of standing in it."""


def exchange(mechs: Mechs, bodies: Bodies, orders: Orders, live: Flags, lava: Flags, water: Flags) -> None:
    """Pass a step of the simulation: emitters, dissipation, venting and the ground. Who is shut down does nothing.

    Args:
        mechs: Their heat and what they emit are changed.
        bodies: Their properties.
        orders: What they want.
        live: `[M, A]`; who takes part.
        lava: `[M, A]`; who stands in lava.
        water: `[M, A]`; who stands in water.
    """
    able = live & (mechs.heat <= bodies.capacity)
    np.copyto(mechs.ecm, orders.ecm & able, where=live)
    np.copyto(mechs.eccm, orders.eccm & able, where=live)
    rate: Floats = -bodies.dissipation * (1.0 + VENT_FACTOR * (orders.vent & able))
    rate += ECM_HEAT * mechs.ecm + ECCM_HEAT * mechs.eccm
    rate += LAVA_HEAT * lava + WATER_HEAT * water
    np.copyto(mechs.heat, np.maximum(mechs.heat + rate * DT, 0.0), where=live)
