"""Whom a lieutenant shoots at, and with what: range, arc, heat, and the paint of its pack."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from esper_echelon.rules.scene import Flags, Floats, Scene, cross, dot, length, unit
from esper_echelon.simulation.tables import (
    AUTOCANNON,
    CHASSIS,
    DECISION,
    FLAMER,
    GAUSS,
    HEAVY,
    LASER,
    LIGHT,
    MEDIUM,
    MISSILE,
    MISSILE_BLIND_RANGE,
    PAINTER,
    PRIMARY,
    SCOUT,
    SECONDARY,
    TERTIARY,
    VENT_FACTOR,
    YAW_RATE,
    Weapon,
)

COOL = 0.92
"""Share of its heat capacity that firing may use up."""

PAINTED_IS_NEARER = 4.0
"""How much nearer, m, a painted enemy counts; to a scout, who paints, an unpainted one does."""

MARGIN = 0.5
"""Metres that bodies must be beyond the reach of a splash."""

ECM, ECCM = 0.25, 1.0
"""What a scout's `secondary` says."""

_CAPACITY = np.array([known.heat_capacity for known in CHASSIS])
_COOLING = np.array([known.dissipation for known in CHASSIS])
_MAX_YAW = np.array([known.max_yaw for known in CHASSIS])
_RADIUS = np.array([known.width for known in CHASSIS]) / 2
_ARMS = (
    (HEAVY, TERTIARY, GAUSS),
    (HEAVY, SECONDARY, MISSILE),
    (HEAVY, PRIMARY, LASER),
    (MEDIUM, TERTIARY, AUTOCANNON),
    (MEDIUM, PRIMARY, LASER),
    (LIGHT, PRIMARY, FLAMER),
    (LIGHT, SECONDARY, LASER),
    (LIGHT, TERTIARY, PAINTER),
    (SCOUT, PRIMARY, PAINTER),
)
"""Chassis, button and weapon; of one chassis the first has the first claim on heat."""


@frozen(eq=False)
class Gunnery:
    """The target of E mechs; arrays are `[E]` but for `way`.

    Attributes:
        way: The way to it, `[E, 2]`, zeros without one.
        distance: Its length.
        ahead, aside: Cosine, and sine without its sign, of the angle between the heading and the target.
        target_seen: Whether there is one.
        painted: Whether the own pack has painted it.
        clearance: Radius up to which what bursts at it reaches neither the mech nor a friend, m.
    """

    way: Floats
    distance: Floats
    ahead: Floats
    aside: Floats
    target_seen: Flags
    painted: Flags
    clearance: Floats

    @classmethod
    def of(cls, scene: Scene) -> Gunnery:
        """Choose: the nearest, and rather who is painted; a scout rather who is not."""
        cost: Floats = np.where(scene.chassis == SCOUT, PAINTED_IS_NEARER, -PAINTED_IS_NEARER)
        painted = scene.contact["painted"] > 0.5
        which, seen = scene.nearest(scene.hostile, np.where(painted, cost[:, None], 0.0))
        way = np.where(seen[:, None], scene.pick(scene.way, which), 0.0)
        distance, looks = length(way), unit(way)
        # It bursts where the target's body begins, and reaches as far as others' bodies do.
        gaps = np.where(scene.friendly, length(scene.way - way[:, None]) - scene.radii, np.inf)
        nearest = np.minimum(gaps.min(1), distance - _RADIUS[scene.chassis])
        return cls(
            way=way,
            distance=distance,
            ahead=dot(scene.heading, looks),
            aside=np.abs(cross(scene.heading, looks)),
            target_seen=seen,
            painted=seen & scene.pick(painted, which),
            clearance=nearest - scene.pick(scene.radii, which) - MARGIN,
        )

    def fire(self, scene: Scene, actions: Floats) -> None:
        """Press the buttons in `actions` `[E, 9]` whose weapons are likely to hit and do not shut the mech down.

        Nobody throws smoke: the throwers themselves would see nobody any more.
        """
        chassis = scene.chassis
        cooling = _COOLING[chassis] * DECISION * (1 + VENT_FACTOR)
        room = (COOL - scene.ego["heat"]) * _CAPACITY[chassis] + cooling
        for kind, button, weapon in _ARMS:
            shots = np.ceil(DECISION / weapon.cooldown)
            hits = self._hits(scene, weapon, actions) & (chassis == kind)
            fires = hits & (shots * weapon.heat <= room)
            actions[:, button] += fires
            room = room - fires * shots * weapon.heat
        self._electronics(scene, actions)

    def _hits(self, scene: Scene, weapon: Weapon, actions: Floats) -> Flags:
        """Return whether a weapon reaches the target in this decision, `[E]`, as far as can be seen."""
        reach = np.where(self.painted, MISSILE.range, MISSILE_BLIND_RANGE) if weapon is MISSILE else weapon.range
        if weapon.aim:
            # It still turns while it fires.
            turned = np.abs(actions[:, YAW_RATE]).clip(0, 1) * _MAX_YAW[scene.chassis] * DECISION
            bears = (self.ahead > 0) & (self.aside - turned <= weapon.aim)
        else:
            bears = self.ahead >= _COSINES[weapon.name]
        safe = self.clearance > weapon.splash if weapon.splash else True
        return np.asarray(self.target_seen & bears & (self.distance <= reach) & safe)

    def _electronics(self, scene: Scene, actions: Floats) -> None:
        """Let the scout that is nearest to the zone jam, and others see through what the enemy jams."""
        scouts = scene.friendly & (scene.contact["is_scout"] > 0.5)
        nearer = length(scene.way - scene.zone[:, None]) < length(scene.zone)[:, None]
        clears = (scouts & nearer).any(1)
        scout = scene.chassis == SCOUT
        actions[:, SECONDARY] = np.where(scout, np.where(clears, ECCM, ECM), actions[:, SECONDARY])


_COSINES = {weapon.name: float(np.cos(np.radians(weapon.arc / 2))) for _, _, weapon in _ARMS if weapon.arc}
