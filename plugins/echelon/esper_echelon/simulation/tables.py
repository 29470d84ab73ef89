"""What mechs, weapons and suites can do, and the constants of the simulation: the tables of the domain.

Metres, seconds, radians and points; one cell of the map is one metre.
"""

from __future__ import annotations

from attrs import frozen

DT = 0.05
"""Seconds that one step of the simulation takes."""

REPEAT = 5
"""Steps of the simulation per decision."""

DECISION = DT * REPEAT
"""Seconds between two decisions."""

EPISODE_SECONDS = 60.0
DECISIONS = 240
"""Decisions in an episode, after which time is up."""

GRAVITY = 9.81


@frozen
class Chassis:
    """One class of mechs.

    Attributes:
        width, height: Of its body, m.
        max_speed: m/s.
        max_yaw: rad/s.
        jet: Upward acceleration of its jump jets, m/s²; 0 without jets.
        hp, leg_hp: Damage that body and legs bear.
        heat_capacity: Heat beyond which it shuts down.
        dissipation: Heat that it loses per second.
        tonnage: t, its weight in the zone.
        mass: Its weight in the panel's sums of threats and friends.
    """

    name: str
    width: float
    height: float
    max_speed: float
    max_yaw: float
    jet: float
    hp: float
    leg_hp: float
    heat_capacity: float
    dissipation: float
    tonnage: float
    mass: float


CHASSIS = (
    Chassis("scout", 1.2, 1.8, 7.0, 1.8, 18, 60, 30, 75, 13, 20, 0.5),
    Chassis("light", 1.5, 2.0, 6.8, 1.5, 16, 80, 40, 80, 12, 35, 0.7),
    Chassis("medium", 2.5, 3.0, 5.5, 1.0, 0, 150, 75, 100, 11, 55, 1.0),
    Chassis("heavy", 3.5, 4.0, 2.5, 0.6, 0, 200, 100, 130, 10, 85, 1.5),
)
SCOUT, LIGHT, MEDIUM, HEAVY = range(4)
"""Positions in CHASSIS, which are those of one-hot codes too."""


@frozen
class Suite:
    """What a mech perceives.

    Attributes:
        contacts: Contacts that it shows at most.
        range_factor: Factor on the radar's range.
        fidelity: Noise-free share of what is shown, for the descriptor.
        squad: Members of the own team that it shows at most.
        detail: How much of them: 0 position; 1 also hp, heat and velocity; 2 also stability and engaged.
        sees_engaged, gives_orders, contact_reports: What it can do besides.
        intel: Slots of reports.
    """

    name: str
    contacts: int
    range_factor: float
    fidelity: float
    squad: int
    detail: int
    sees_engaged: bool
    gives_orders: bool
    contact_reports: bool
    intel: int


SUITES = (
    Suite("scout-recon", 20, 1.5, 0.8, 5, 0, False, False, False, 5),
    Suite("light-skirmish", 10, 1.2, 0.6, 5, 1, False, False, True, 8),
    Suite("medium-assault", 8, 1.0, 0.7, 5, 1, False, False, True, 6),
    Suite("heavy-fire-support", 5, 0.8, 1.0, 5, 0, False, False, True, 3),
    Suite("pack-command", 8, 1.0, 0.6, 5, 2, True, True, True, 10),
    Suite("squad-command", 6, 1.0, 0.5, 12, 2, True, True, True, 12),
)
PACK_COMMAND, SQUAD_COMMAND = 4, 5
"""Positions in SUITES; the first four are those of the classes."""


@frozen
class Weapon:
    """One weapon.

    Attributes:
        range: m.
        damage: Points of a hit.
        stability: Stability that a hit takes.
        heat: Heat of firing.
        cooldown: Seconds until it fires again.
        timer: Position in TIMERS of the timer that it waits for.
        arc: Whole angle in which it hits, degrees; 0 where it is `aim` that counts.
        aim: Largest angle between the heading and the target, rad; 0 without.
        speed: Of its projectile, m/s; 0 hits at once.
        target_heat: Heat that a hit gives to its target.
        splash: Radius in which others are hit too, m, for half the damage.
        suppress: Seconds for which a hit suppresses.
    """

    name: str
    range: float
    damage: float
    stability: float
    heat: float
    cooldown: float
    timer: int
    arc: float = 0.0
    aim: float = 0.0
    speed: float = 0.0
    target_heat: float = 0.0
    splash: float = 0.0
    suppress: float = 0.0


TIMERS = ("laser", "missile", "kinetic", "painter")
TIMER_SECONDS = (0.6, 3.0, 4.0, 1.0)
"""What a timer is divided by in observations."""

LASER = Weapon("laser", 8, 14, 0, 22, 0.6, 0, arc=120, target_heat=6)
FLAMER = Weapon("flamer", 4.5, 4, 0, 10, 0.15, 2, arc=90, target_heat=15)
MISSILE = Weapon("missile", 50, 40, 15, 45, 3.0, 1, arc=180, speed=12, splash=2.5)
GAUSS = Weapon("gauss", 20, 50, 60, 15, 4.0, 2, aim=0.1, speed=40, splash=1.5)
AUTOCANNON = Weapon("autocannon", 12, 8, 5, 6, 0.2, 2, aim=0.1, speed=25, suppress=1.2)
PAINTER = Weapon("painter", 10, 0, 0, 5, 1.0, 3, arc=60)
SMOKE = Weapon("smoke", 20, 0, 0, 10, 5.0, 1, speed=15)

MISSILE_BLIND_RANGE = 12.0
"""Range of a missile without a paint lock; it needs a line of sight then."""

LOCK_QUALITY = 0.70
"""Sensor quality that a paint lock needs."""

MISSILE_TURN = 4.0
"""rad/s that a missile turns towards its target."""

SMOKE_RADIUS, SMOKE_SECONDS = 4.0, 10.0
PAINT_SECONDS, PAINT_BONUS = 5.0, 1.10
REAR_COSINE, REAR_BONUS = 0.707, 1.5
LEG_SHARE, LEG_HEIGHT = 0.5, 0.30
SPLASH_SHARE = 0.5
AMS_RANGE, AMS_CHANCE, AMS_COOLDOWN = 5.5, 0.60, 1.0

STABILITY, STABILITY_REGEN, STANDS_AT, FALL_SECONDS = 100.0, 10.0, 50.0, 3.0
LEGGED_SPEED, LEGGED_JET = 0.4, 0.5
VENT_FACTOR = 2.0
ECM_HEAT, ECCM_HEAT, EWAR_RANGE = 3.0, 2.0, 50.0
JAM_LOSS, ECCM_GAIN, QUALITY_RANGE = 0.85, 0.65, (0.25, 1.5)
RADAR_RANGE, HOT = 14.0, 0.80

ZONE_RADIUS, ZONE_SPREAD = 7.5, (0.5, 1.5)
CONTESTED_FLOOR = 0.25
SCORE_TO_WIN = 0.5 * EPISODE_SECONDS

VISIBILITIES = ("full", "partial")
"""Whether everybody sees everybody, or what radar, eyes, heat and radiation show."""

ACTIONS = ("forward", "strafe", "vertical", "yaw_rate", "primary", "vent", "secondary", "tertiary", "special")
FORWARD, STRAFE, VERTICAL, YAW_RATE, PRIMARY, VENT, SECONDARY, TERTIARY, SPECIAL = range(9)
"""Positions in an action, each number in −1..1."""
