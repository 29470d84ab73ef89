"""Chance without a generator: a number is a function of a match's seed and of what it is for."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from esper_echelon.simulation.tables import REPEAT

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


class Purpose(IntEnum):
    """What numbers are drawn for; two purposes have nothing to do with each other."""

    LASER_HEIGHT = 0
    FLAMER_HEIGHT = 1
    AMS = 2
    HOLD_FIRE = 3


def uniform(
    seeds: NDArray[np.uint64],
    clock: NDArray[np.int64],
    side: NDArray[np.int64],
    substep: int,
    purpose: int,
    places: int,
) -> NDArray[np.float64]:
    """Return numbers in [0, 1), `[M, places]`.

    A number depends on its match's seed and clock, the step of the simulation, the purpose, the corner that the team
    came from and the place within the team, and on nothing else: not on other matches, nor on how many places there
    are. Luck belongs to corners, so that a match with the teams exchanged is the same match. It is the generator
    splitmix64 (Steele, Lea and Flood 2014), read at a counter.

    Args:
        seeds: `[M]`.
        clock: `[M]`, decisions taken.
        side: `[M]`, 0 or 1, the corner of the learner's team.
        substep: Step of the simulation within the decision.
        purpose: One of Purpose.
        places: Places of both teams, A.
    """
    at = clock.astype(np.uint64) * np.uint64(REPEAT) + np.uint64(substep + 1)
    of_purpose = np.uint64((purpose + 1) * int(_GOLDEN) % 2**64)
    match = _mixed(_mixed(seeds + at * _GOLDEN) + of_purpose)
    place = np.arange(places)
    team_size = max(1, places // 2)
    corner = (place // team_size) ^ side[:, None]
    index = (2 * (place % team_size) + corner + 1).astype(np.uint64)
    bits = _mixed(match[:, None] + index * _GOLDEN)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * _UNIT)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return np.asarray(bits ^ (bits >> np.uint64(31)))
