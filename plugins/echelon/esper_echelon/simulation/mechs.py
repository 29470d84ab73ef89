"""The state of every mech of every match, in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define, fields
from numpy.typing import NDArray

from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import CHASSIS, STABILITY, TIMERS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@define(eq=False)
class Mechs:
    """Arrays `[M, A, ...]` of M matches with A places each; float64 unless said otherwise.

    Positions are metres from the centre of the map and headings are unit vectors, so that a match seen from the other
    side, with every sign changed, is the same to the last bit. Whoever is not alive does nothing.

    Attributes:
        roster: Who the places are.
        present: bool; who takes part in the match.
        alive: bool; who is present and has not died.
        position: `[M, A, 2]`.
        altitude: Height of the feet.
        velocity: `[M, A, 2]` of the last step of the simulation, m/s.
        climb: Vertical velocity, m/s.
        heading: `[M, A, 2]`.
        hp, leg_hp, heat, stability: Points.
        fallen, suppressed, hurried: Seconds left of lying on the ground, of being suppressed, and of having been hit
            (`hurried` starts at one decision's time whenever damage is taken).
        cooldown: `[M, A, 4]`, seconds left by TIMERS.
        ams: Seconds until its anti-missile system fires again.
        paint: `[M, A, A]`, seconds left of the paint that the first put on the second.
        ecm, eccm: bool; which it emits.
        struck: `[M, A, 2]`, direction in which the last damage of this decision travelled, world frame; zeros without.
        targeted: bool; an enemy aimed a weapon at it in this decision.
        hunted: bool; a missile flies towards it.
        inside: bool; it stands in the zone.
    """

    roster: Roster
    present: Flags
    alive: Flags
    position: Floats
    altitude: Floats
    velocity: Floats
    climb: Floats
    heading: Floats
    hp: Floats
    leg_hp: Floats
    heat: Floats
    stability: Floats
    fallen: Floats
    suppressed: Floats
    hurried: Floats
    cooldown: Floats
    ams: Floats
    paint: Floats
    ecm: Flags
    eccm: Flags
    struck: Floats
    targeted: Flags
    hunted: Flags
    inside: Flags

    @classmethod
    def none(cls, roster: Roster, matches: int) -> Mechs:
        """Return places in which nobody is."""
        places = len(roster.team)
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("position", "velocity", "heading", "struck"), (2,)),
            "cooldown": (len(TIMERS),),
            "paint": (places,),
        }
        flags = {"present", "alive", "ecm", "eccm", "targeted", "hunted", "inside"}
        arrays: dict[str, Any] = {
            name: np.zeros((matches, places, *shapes.get(name, ())), np.bool_ if name in flags else np.float64)
            for name in NAMES
        }
        return cls(roster, **arrays)

    def enter(self, match: int, packs: int, position: Floats, heading: Floats) -> None:
        """Put fresh mechs into a match: `position`, `heading` `[A, 2]`; those of absent places are not looked at."""
        for name in NAMES:
            getattr(self, name)[match] = 0
        present = self.roster.present(packs)
        self.present[match] = self.alive[match] = present
        self.position[match] = np.where(present[:, None], position, 0.0)
        self.heading[match] = np.where(present[:, None], heading, (1.0, 0.0))
        chassis = self.roster.chassis
        self.hp[match] = present * np.array([known.hp for known in CHASSIS])[chassis]
        self.leg_hp[match] = present * np.array([known.leg_hp for known in CHASSIS])[chassis]
        self.stability[match] = present * STABILITY

    def state(self) -> dict[str, Any]:
        """Return every array, as JSON can hold it and numbers survive bit for bit."""
        return {name: getattr(self, name).tolist() for name in NAMES}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        for name in NAMES:
            getattr(self, name)[...] = np.array(state[name]).reshape(getattr(self, name).shape)

    @property
    def legged(self) -> Flags:
        """Whether legs are gone."""
        return self.alive & (self.leg_hp <= 0)

    @property
    def capacity(self) -> Floats:
        """Heat capacity by place, `[A]`."""
        return np.array([known.heat_capacity for known in CHASSIS])[self.roster.chassis]

    @property
    def shut_down(self) -> Flags:
        """Whether heat is beyond capacity."""
        return self.alive & (self.heat > self.capacity)


NAMES = tuple(part.name for part in fields(Mechs) if part.name != "roster")
"""The arrays."""
