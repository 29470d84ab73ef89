"""A bare field on which a few mechs stand where a test puts them."""

from __future__ import annotations

from math import cos, radians, sin
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esper_echelon.simulation.arena import Arena, Step
from esper_echelon.simulation.ground import Grounds
from esper_echelon.simulation.noise import Purpose
from esper_echelon.simulation.rewards import RewardWeights
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS, TIMERS

SCOUT, SCOUT_TOO, LIGHT, MEDIUM, HEAVY, LEADER = range(6)
"""Places of one team."""

FOE = 6
"""What the place of the other team is farther on."""

EAST, WEST, NORTH = (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0)


class Field:
    """One match on a map of 100 × 100 m without obstacles; nobody but those who are put is there.

    Far away in two corners stand the leaders, so that no match ends by elimination. Nobody is in the zone, which is
    shrunk to nothing and far away, unless a test changes that.
    """

    def __init__(self, packs: int = 1, weights: RewardWeights | None = None, seed: int = 1) -> None:
        self.arena = Arena(Roster(packs), 1, weights=weights)
        self.arena.begin(0, seed, 100, packs, 0)
        self.grounds: Grounds = self.arena.grounds
        self.grounds.heights[0] = self.grounds.kinds[0] = 0
        self.grounds.radius[0] = 0.0
        self.grounds.zone[0] = (49.0, 49.0)
        mechs = self.arena.mechs
        mechs.present[0] = mechs.alive[0] = False
        self.put(LEADER, -49, -49)
        self.put(FOE + LEADER, -49, 49)

    def put(self, place: int, x: float, y: float, heading: tuple[float, float] = EAST, **other: Any) -> None:
        """Put a mech, and set more of its numbers by name."""
        mechs = self.arena.mechs
        mechs.present[0, place] = mechs.alive[0, place] = True
        mechs.position[0, place], mechs.heading[0, place] = (x, y), heading
        for name, value in other.items():
            getattr(mechs, name)[0, place] = value

    def do(self, times: int = 1, **orders: dict[int, float]) -> Step:
        """Take decisions: action → number by place; all else does nothing. Return the last one."""
        actions = np.zeros((1, len(self.arena.roster.team), len(ACTIONS)))
        for name, by_place in orders.items():
            for place, value in by_place.items():
                actions[0, place, ACTIONS.index(name)] = value
        for _ in range(times):
            step = self.arena.step(actions)
        return step

    def of(self, name: str, place: int) -> Any:
        """Return a number of a mech, or several."""
        value = getattr(self.arena.mechs, name)[0, place]
        return value.tolist() if np.ndim(value) else float(value)

    def wall(self, x: float, y: float, height: int, width: float = 1.0) -> None:
        """Build an obstacle across the x axis: one cell deep at x, `width` cells wide around y."""
        for at in np.arange(y - (width - 1) / 2, y + width / 2):
            gy, gx = self.grounds.cells(np.zeros(1, np.int64), np.array([[x, at]]))
            self.grounds.heights[0, gy, gx] = height

    def flood(self, kind: int) -> None:
        """Make all of the ground water or lava."""
        self.grounds.kinds[0] = kind


def damage_to(step: Step, place: int) -> NDArray[np.float64]:
    """Return the amounts of damage that a mech took."""
    rows = step.happenings.damage
    return rows.amount[rows.target == place]


BUTTONS = {
    "laser": (MEDIUM, "primary"), "flamer": (LIGHT, "primary"), "missile": (HEAVY, "secondary"),
    "gauss": (HEAVY, "tertiary"), "autocannon": (MEDIUM, "tertiary"), "painter": (SCOUT, "primary"),
    "smoke": (HEAVY, "special"),
}  # fmt: skip
TARGET = FOE + HEAVY


@pytest.fixture(autouse=True)
def chance(monkeypatch):
    """No beam hits legs and no missile is shot down, unless a test says otherwise."""
    drawn = dict.fromkeys(Purpose, 0.99)
    monkeypatch.setattr(
        "esper_echelon.simulation.moment.uniform",
        lambda seeds, clock, side, substep, purpose, places: np.full((1, places), drawn[purpose]),
    )
    return drawn


def duel(weapon: str, distance: float, angle: float = 0.0, facing=WEST, **other) -> tuple[Field, int, str]:
    """Put who carries a weapon before a heavy, so many metres away and degrees to the left."""
    shooter, button = BUTTONS[weapon]
    field = Field()
    field.put(shooter, 0, 0, **other)
    if weapon == "autocannon":  # the painter, which is on the same button, waits
        field.arena.mechs.cooldown[0, shooter, TIMERS.index("painter")] = 9.0
    field.put(TARGET, distance * cos(radians(angle)), distance * sin(radians(angle)), facing)
    return field, shooter, button
