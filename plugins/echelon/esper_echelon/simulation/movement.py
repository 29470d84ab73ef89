"""How mechs turn, walk, jump and push each other."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.ground import WATER, Grounds
from esper_echelon.simulation.mechs import Flags, Floats, Mechs
from esper_echelon.simulation.orders import Orders
from esper_echelon.simulation.pairs import Pairs
from esper_echelon.simulation.tables import DT, GRAVITY, LEGGED_JET, LEGGED_SPEED

GRIP, WATER_SPEED = 0.98, 0.6
"""Factors on the speed: always, and in water."""

STEP_UP = 1.1
"""Metres that a mech climbs without jumping."""

REACH = 0.5
"""Metres that a mech keeps from walls ahead. It is the same for all, so that whoever starts in the open gets through
gaps of one cell; and as nobody moves as far in a step of the simulation, nobody passes through a wall."""

CEILING = 20.0
"""Metres above the floor that no jump goes beyond."""


@frozen(eq=False)
class Footing:
    """What is under the feet, `[M, A]`: height of the ground, and its kind."""

    height: Floats
    kind: NDArray[np.int8]

    @classmethod
    def of(cls, grounds: Grounds, matches: NDArray[np.int64], position: Floats) -> Footing:
        """Look at the cells under positions `[M, A, 2]`; `matches` is `[M, 1]`."""
        gy, gx = grounds.cells(matches, position)
        return cls(grounds.heights[matches, gy, gx].astype(np.float64), grounds.kinds[matches, gy, gx])


def turn(mechs: Mechs, orders: Orders, able: Flags) -> None:
    """Turn the headings of who is able to, for a step of the simulation."""
    cosine, sine = orders.turn
    x, y = mechs.heading[..., 0], mechs.heading[..., 1]
    new_x, new_y = x * cosine - y * sine, x * sine + y * cosine
    length = np.maximum(np.sqrt(new_x * new_x + new_y * new_y), 1e-9)
    np.copyto(x, new_x / length, where=able)
    np.copyto(y, new_y / length, where=able)


def walk(
    mechs: Mechs,
    bodies: Bodies,
    orders: Orders,
    grounds: Grounds,
    matches: NDArray[np.int64],
    footing: Footing,
    pairs: Pairs,
    live: Flags,
    able: Flags,
) -> Footing:
    """Move all for a step of the simulation, and return what is under them then.

    Velocity is set, not gained. An axis that a wall is ahead on does not move. Bodies that overlap are pushed apart,
    the lighter one farther.

    Args:
        mechs: They are moved.
        bodies: Their properties.
        orders: What they want.
        grounds: Where they walk.
        matches: `[M, 1]`, numbers of the matches.
        footing: What is under them.
        pairs: How they lie to each other.
        live: `[M, A]`; who takes part.
        able: `[M, A]`; whose orders count.
    """
    hx, hy = mechs.heading[..., 0], mechs.heading[..., 1]
    legged = mechs.leg_hp <= 0
    wet = (footing.kind == WATER) & (mechs.altitude <= 0)
    speed = bodies.max_speed * GRIP * np.where(legged, LEGGED_SPEED, 1.0) * np.where(wet, WATER_SPEED, 1.0)
    speed *= able
    forward, left = orders.throttle[..., 0] * speed, orders.throttle[..., 1] * speed
    vx, vy = hx * forward - hy * left, hy * forward + hx * left
    push = pairs.push(mechs.altitude, live)
    limit = np.maximum(grounds.size / 2 - REACH, 0.0)[:, None]
    x, y = mechs.position[..., 0], mechs.position[..., 1]
    step_x, step_y = vx * DT, vy * DT
    if push is not None:
        step_x, step_y = step_x + push[..., 0], step_y + push[..., 1]
    climbable = mechs.altitude + STEP_UP
    new_x = np.clip(x + step_x, -limit, limit)
    free = _height(grounds, matches, new_x + np.copysign(REACH, step_x), y) <= climbable
    new_x = np.where(free, new_x, x)
    np.copyto(mechs.velocity[..., 0], np.where(free, vx, 0.0), where=live)
    new_y = np.clip(y + step_y, -limit, limit)
    free = _height(grounds, matches, new_x, new_y + np.copysign(REACH, step_y)) <= climbable
    new_y = np.where(free, new_y, y)
    np.copyto(mechs.velocity[..., 1], np.where(free, vy, 0.0), where=live)
    mechs.position[..., 0], mechs.position[..., 1] = new_x, new_y
    footing = Footing.of(grounds, matches, mechs.position)
    _jump(mechs, orders, footing.height, legged, live, able)
    return footing


def _height(grounds: Grounds, matches: NDArray[np.int64], x: Floats, y: Floats) -> NDArray[np.int8]:
    gy, gx = grounds.cells(matches, np.stack((x, y), axis=-1))
    return np.asarray(grounds.heights[matches, gy, gx])


def _jump(mechs: Mechs, orders: Orders, ground: Floats, legged: Flags, live: Flags, able: Flags) -> None:
    thrust = orders.thrust * np.where(legged, LEGGED_JET, 1.0) * able
    climb = mechs.climb + (thrust - GRAVITY) * DT
    altitude = mechs.altitude + climb * DT
    landed, capped = altitude <= ground, altitude >= CEILING
    np.copyto(mechs.altitude, np.clip(altitude, ground, CEILING), where=live)
    np.copyto(mechs.climb, np.where(landed | capped, 0.0, climb), where=live)
