"""Which weapons a mech carries, and on which buttons they are."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import (
    AUTOCANNON,
    FLAMER,
    GAUSS,
    HEAVY,
    LASER,
    LIGHT,
    MEDIUM,
    MISSILE,
    PAINTER,
    PRIMARY,
    SCOUT,
    SECONDARY,
    SMOKE,
    SPECIAL,
    TERTIARY,
    Weapon,
)

WEAPONS = (LASER, FLAMER, MISSILE, GAUSS, AUTOCANNON, PAINTER, SMOKE)
"""All weapons; positions in it are what arrays hold."""

CARRIED: dict[int, tuple[tuple[int, Weapon], ...]] = {
    SCOUT: ((PRIMARY, PAINTER), (SPECIAL, SMOKE)),
    LIGHT: ((PRIMARY, FLAMER), (SECONDARY, LASER), (TERTIARY, PAINTER), (SPECIAL, SMOKE)),
    MEDIUM: ((PRIMARY, LASER), (TERTIARY, AUTOCANNON), (TERTIARY, PAINTER), (SPECIAL, SMOKE)),
    HEAVY: ((PRIMARY, LASER), (SECONDARY, MISSILE), (TERTIARY, GAUSS), (SPECIAL, SMOKE)),
}
"""Buttons and weapons by position in CHASSIS, smoke last: of two that wait for one timer, the first is fired."""

SLOTS = max(len(carried) for carried in CARRIED.values())
"""The last slot is for smoke, which needs no target; the others for weapons that do."""


@frozen
class Weaponry:
    """The weapons of a roster; arrays are `[A, S]`, S slots."""

    roster: Roster

    def _by_slot(self, of: dict[int, list[int]]) -> NDArray[np.int64]:
        return np.array([of[chassis] for chassis in self.roster.chassis.tolist()])

    @cached_property
    def weapon(self) -> NDArray[np.int64]:
        """Position in WEAPONS, −1 in an empty slot."""
        rows = {}
        for chassis, carried in CARRIED.items():
            aimed = [WEAPONS.index(weapon) for _, weapon in carried if weapon is not SMOKE]
            rows[chassis] = [*aimed, *[-1] * (SLOTS - 1 - len(aimed)), WEAPONS.index(SMOKE)]
        return self._by_slot(rows)

    @cached_property
    def button(self) -> NDArray[np.int64]:
        """Position in ACTIONS."""
        rows = {}
        for chassis, carried in CARRIED.items():
            aimed = [button for button, weapon in carried if weapon is not SMOKE]
            rows[chassis] = [*aimed, *[SPECIAL] * (SLOTS - len(aimed))]
        return self._by_slot(rows)

    @cached_property
    def armed(self) -> Flags:
        """Whether there is a weapon in a slot."""
        return np.asarray(self.weapon >= 0)

    @cached_property
    def emits(self) -> Flags:
        """`[A]`, whether the secondary button is for ECM and ECCM."""
        return np.asarray(self.roster.chassis == SCOUT)

    @cached_property
    def timer(self) -> NDArray[np.int64]:
        """Position in TIMERS."""
        return np.array([weapon.timer for weapon in WEAPONS])[self.weapon]

    @cached_property
    def range(self) -> Floats:
        """Metres; −1 in an empty slot."""
        return np.where(self.armed, np.array([weapon.range for weapon in WEAPONS])[self.weapon], -1.0)


def column(name: str) -> Floats:
    """Return one property of all WEAPONS."""
    return np.array([getattr(weapon, name) for weapon in WEAPONS], np.float64)


def cosine(weapon: Weapon) -> float:
    """Return the least cosine between heading and target with which a weapon is fired; −1 where it needs none."""
    if not (weapon.arc or weapon.aim):
        return -1.0
    return round(math.cos(weapon.aim or math.radians(weapon.arc / 2)), 15)
