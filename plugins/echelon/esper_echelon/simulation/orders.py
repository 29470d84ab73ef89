"""What all mechs want in one decision, read from their actions."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.tables import (
    ACTIONS,
    DT,
    FORWARD,
    SECONDARY,
    STRAFE,
    VENT,
    VERTICAL,
    YAW_RATE,
)
from esper_echelon.simulation.weaponry import Weaponry

ECCM_ABOVE = 0.5
"""A scout's secondary emits ECM from 0 up to this, and ECCM above."""


@frozen(eq=False)
class Orders:
    """Wishes for one decision, `[M, A]` where not said otherwise.

    Attributes:
        throttle: `[M, A, 2]`, forward and to the left of the heading, within the unit disc.
        thrust: Upward acceleration of the jets, m/s².
        turn: `[2, M, A]`, cosine and sine of the angle that the heading turns in a step of the simulation.
        vent: bool.
        ecm, eccm: bool.
        fire: bool `[M, A, S]` by slot of the weaponry.
        bad: Numbers of the actions that were not finite and count as 0.
    """

    throttle: Floats
    thrust: Floats
    turn: Floats
    vent: Flags
    ecm: Flags
    eccm: Flags
    fire: Flags
    bad: int

    @classmethod
    def read(cls, actions: Floats, bodies: Bodies, weaponry: Weaponry) -> Orders:
        """Read actions `[M, A, 9]`; raises ValueError for another shape."""
        matches, places = actions.shape[0], len(bodies.radius)
        if actions.shape != (matches, places, len(ACTIONS)):
            raise ValueError(
                f"actions have the shape {list(actions.shape)}, expected [matches, {places}, {len(ACTIONS)}]"
            )
        actions = np.asarray(actions, np.float64)
        finite = np.isfinite(actions)
        bad = actions.size - int(np.count_nonzero(finite))
        wanted = np.clip(np.where(finite, actions, 0.0) if bad else actions, -1.0, 1.0)
        throttle = np.stack((wanted[..., FORWARD], wanted[..., STRAFE]), axis=-1)
        length = np.sqrt(throttle[..., 0] ** 2 + throttle[..., 1] ** 2)
        throttle /= np.maximum(length, 1.0)[..., None]
        emit = np.where(weaponry.emits, wanted[..., SECONDARY], 0.0)
        return cls(
            throttle=throttle,
            thrust=np.maximum(wanted[..., VERTICAL], 0.0) * bodies.jet,
            turn=rotation(wanted[..., YAW_RATE] * bodies.max_yaw * DT),
            vent=wanted[..., VENT] > 0,
            ecm=(emit > 0) & (emit <= ECCM_ABOVE),
            eccm=emit > ECCM_ABOVE,
            fire=(wanted[:, np.arange(places)[:, None], weaponry.button] > 0) & weaponry.armed,
            bad=bad,
        )


def rotation(angle: Floats) -> Floats:
    """Return cosine and sine of small angles, `[2, ...]`.

    They are polynomials, exact to the last bit or two below 0.1 rad: unlike the functions of a mathematical library,
    sums and products give the same bits wherever in an array a number lies and on whatever processor.
    """
    square = angle * angle
    cosine = 1 - square / 2 * (1 - square / 12 * (1 - square / 30 * (1 - square / 56)))
    sine = angle * (1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72))))
    return np.stack((cosine, sine))
