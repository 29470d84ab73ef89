"""What the features `suite` are, without torch: 706 columns, their names and meanings.

A map's side is that of the match; 10 m/s is the unit of velocities; directions are those of the world, x and y of the
plane and z upwards. A row that is padding holds zeros.
"""

from __future__ import annotations

from esper_core import ActionSpec, Feature, FeatureSchema, SlotConfig, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_echelon.perception.layout import BLOCKS, COLUMNS, DESCRIPTOR, FLAT_OBS_DIM

SUITE = "suite"
"""The state field that is read."""

_RELATIVE = {axis: f"{axis} relative to the mech / the map's side" for axis in "xyz"}
_RELATIVE |= {f"velocity_{axis}": f"{axis} of the velocity relative to the mech / 10 m/s" for axis in "xyz"}
_BODY = {
    "sin_yaw": "sine of the heading's angle to the x axis",
    "cos_yaw": "cosine of the heading's angle to the x axis",
    "hp": "health / that of its class",
    "heat": "min(heat / capacity, 2)",
    "stability": "stability / 100",
    "fallen": "it lies on the ground",
    "legged": "its legs are gone",
}
_COOLDOWN = "min(seconds until it is ready / its usual cooldown, 1)"

MEANINGS = {
    "contacts": {
        **_RELATIVE,
        **_BODY,
        **{relation: f"it is {relation}" for relation in ("friendly", "hostile", "neutral")},
        **{f"is_{name}": f"its class is {name}" for name in ("scout", "light", "medium", "heavy")},
        "painted": "somebody whose paint the mech may use painted it",
        "visible": "1 in every row that is no padding",
        "lead_pitch": "pitch of a shot at 40 m/s that falls onto it / 45°, clipped to ±1",
        "closing": "speed at which it comes nearer / 10 m/s, clipped to ±1",
        "crossing": "1 − |cosine between line of sight and its velocity|; 0 if slow or adjacent",
    },
    "contact_mask": {"padding": "1 for padding, 0 for a contact"},
    "squad": {
        **_RELATIVE,
        **_BODY,
        "engaged": "somebody aims at it or has just hit it",
        "leader": "it leads a pack or the squad",
    },
    "squad_mask": {"padding": "1 for padding, 0 for a member of the squad"},
    "ego": {
        **_BODY,
        "leg_hp": "health of the legs / that of its class",
        "headroom": "max(1 − heat / capacity, 0)",
        "shutdown": "heat is beyond capacity",
        **{f"velocity_{axis}": f"{axis} of its velocity / 10 m/s" for axis in "xyz"},
        **{f"{timer}_cooldown": _COOLDOWN for timer in ("laser", "missile", "kinetic", "painter")},
        "targeted": "an enemy aims at it",
        "under_fire": "it was hit in the last decision",
        "painted": "an enemy's paint is on it",
        "incoming_missile": "a missile flies towards it",
        "damage_x": "x of the direction in which the last damage travelled",
        "damage_y": "y of the direction in which the last damage travelled",
        "in_zone": "it stands in the zone",
        "zone_x": "x of the zone's centre relative to the mech / the map's side",
        "zone_y": "y of the zone's centre relative to the mech / the map's side",
        "zone_radius": "radius of the zone / the map's side",
        "control": "its team's share of the tonnage in the zone less that of the other",
        "score": "min(its team's score / that of a win, 1)",
        "enemy_score": "min(the other team's score / that of a win, 1)",
        "time": "share of the episode that is over",
        "suppressed": "it is suppressed",
    },
    "descriptor": {
        **{name: f"its suite is {name.removeprefix('suite_').replace('_', '-')}" for name in DESCRIPTOR[:6]},
        "contact_slots": "contacts shown at most / 20",
        "range_factor": "(factor on the radar's range − 0.8) / 0.7",
        "fidelity": "fidelity of the suite",
        "detail": "level of detail about the squad / 2",
        "sees_engaged": "the suite tells who is engaged",
        "gives_orders": "it gives orders",
        "contact_reports": "it receives reports of contacts",
        "much_intel": "it has more than 5 slots for reports",
    },
    "panel": {
        "contacts": "contacts shown / the suite's slots",
        "intel": "enemies that only others see / the suite's slots for reports",
        "has_order": "a leader lives who gives it orders",
        "squad": "share of its squad that is alive",
        "threat": "mass of the enemies shown / 5, at most 1",
        "friends": "mass of the friends shown / 5, at most 1",
        "alert": "it was hit, or health is below 25 %, heat above 90 % or stability below 20",
        "detail": "level of detail about the squad / 2",
    },
}
"""Block and name of a number → what it is."""


def describe_suite(config: None, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return 706 columns, named and ordered as in the layout.

    Raises:
        IncompatiblePlan: the environment's field `suite` is no such observation.
    """
    field = state_spec[SUITE]
    if field.shape != ("E", FLAT_OBS_DIM) or field.dtype != "float":
        raise IncompatiblePlan(
            f"The state field '{SUITE}' is {field.dtype} {list(field.shape)}, expected float ['E', {FLAT_OBS_DIM}].",
            hint="Use the environment echelon, or other features with --use features=NAME.",
        )
    meanings = [MEANINGS[block.name][name] for block in BLOCKS for _ in range(block.rows) for name in block.names]
    return FeatureSchema(
        tuple(Feature(c, m, field.low, field.high, SUITE) for c, m in zip(COLUMNS, meanings, strict=True))
    )
