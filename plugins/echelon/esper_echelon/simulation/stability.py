"""Stability: it comes back, and whoever has none falls, lies, and gets up."""

from __future__ import annotations

import numpy as np

from esper_echelon.simulation.mechs import Flags, Mechs
from esper_echelon.simulation.tables import DT, FALL_SECONDS, STABILITY, STABILITY_REGEN, STANDS_AT

LEGGED_PENALTY, MOVING_PENALTY, SUPPRESSED_PENALTY, LEAST_REGEN = 0.5, 0.5, 0.75, 0.1
MOVING_ABOVE = 1.0
"""m/s above which a mech counts as moving."""


def recover(mechs: Mechs, live: Flags) -> None:
    """Pass a step of the simulation: stability of who stands comes back, slower when moving, legged or suppressed."""
    speed = mechs.velocity[..., 0] ** 2 + mechs.velocity[..., 1] ** 2
    share = 1.0 - MOVING_PENALTY * (speed > MOVING_ABOVE**2)
    share -= LEGGED_PENALTY * (mechs.leg_hp <= 0)
    share -= SUPPRESSED_PENALTY * (mechs.suppressed > 0)
    regained = STABILITY_REGEN * DT * np.maximum(share, LEAST_REGEN)
    stands = live & (mechs.fallen <= 0)
    np.copyto(mechs.stability, np.minimum(mechs.stability + regained, STABILITY), where=stands)


def fall(mechs: Mechs, live: Flags) -> None:
    """Let those fall who have no stability left."""
    falls = live & (mechs.fallen <= 0) & (mechs.stability <= 0)
    if falls.any():
        mechs.fallen[falls] = FALL_SECONDS
        mechs.stability[falls] = 0.0
        mechs.velocity[falls] = 0.0


def get_up(mechs: Mechs, lay: Flags) -> None:
    """Let those stand up who lay before time passed and lie no longer."""
    stands = lay & (mechs.fallen <= 0)
    mechs.stability[stands] = STANDS_AT
