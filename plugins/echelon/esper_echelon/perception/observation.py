"""The observation: what every mech sees, hears from its squad and knows of itself, in the 706 numbers of `layout`.

Positions are divided by the map's side, velocities by 10 m/s, and all directions are those of the world.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.perception.contacts import HEAT_TOP, SPEED_SCALE, Contacts, contacts
from esper_echelon.perception.layout import (
    CONTACT,
    CONTACT_MASK_AT,
    CONTACTS_AT,
    DESCRIPTOR_AT,
    EGO,
    EGO_AT,
    FLAT_OBS_DIM,
    MAX_CONTACTS,
    MAX_SQUAD,
    PANEL,
    PANEL_AT,
    SQUAD,
    SQUAD_AT,
    SQUAD_MASK_AT,
)
from esper_echelon.perception.visibility import painted
from esper_echelon.perception.visibility import visible as who_sees
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.roster import SQUAD as OF_ALL
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import (
    CHASSIS,
    DECISIONS,
    SCORE_TO_WIN,
    SQUAD_COMMAND,
    STABILITY,
    SUITES,
    TIMER_SECONDS,
    TIMERS,
)

if TYPE_CHECKING:
    from esper_echelon.simulation.arena import Arena

LOW_HP, HIGH_HEAT, LOW_STABILITY = 0.25, 0.90, 20.0
"""What alerts the panel."""

HEAVY_LOAD = 5.0
"""Mass of contacts at which the panel's sums are 1."""

_RELATIVE = np.array([name in ("x", "y", "z", "velocity_x", "velocity_y") for name in SQUAD], np.float32)
"""Which numbers of mates are relative to one's own."""

_Float32 = NDArray[np.float32]
_Places = NDArray[np.int64]


def observe(arena: Arena, visible: Flags | None = None) -> _Float32:
    """Return the observations of both teams, `[M, A, 706]`; zeros with masks of 1 for the dead and the absent.

    Args:
        arena: The matches.
        visible: Who sees whom, `[M, A, A]`, where it is known already.
    """
    mechs, fixed = arena.mechs, _fixed(arena.roster)
    sees = who_sees(arena) if visible is None else visible
    matches, places = mechs.alive.shape
    size = arena.grounds.size.astype(np.float64)
    out = np.zeros((matches, places, FLAT_OBS_DIM), np.float32)
    lines = out.reshape(-1, FLAT_OBS_DIM)

    shown = contacts(mechs, sees, painted(mechs), size)
    lines[:, CONTACTS_AT].reshape(-1, MAX_CONTACTS, len(CONTACT))[shown.viewer, shown.row] = shown.values
    out[..., CONTACT_MASK_AT] = np.arange(MAX_CONTACTS) >= shown.count[..., None]

    mates = mechs.alive.take(fixed.mates, 1) & fixed.is_mate
    viewer, row, values = _squad(arena, fixed, size, mates)
    lines[:, SQUAD_AT].reshape(-1, MAX_SQUAD, len(SQUAD))[viewer, row] = values
    out[..., SQUAD_MASK_AT] = 1
    out[..., SQUAD_MASK_AT][..., : mates.shape[2]] = ~mates

    _write(out[..., EGO_AT], EGO, _ego(arena, fixed, size))
    out[..., DESCRIPTOR_AT] = fixed.descriptor
    _write(out[..., PANEL_AT], PANEL, _panel(arena, fixed, sees, shown, mates))
    out[~mechs.alive] = _nobody()
    return out


def _write(block: _Float32, names: tuple[str, ...], values: dict[str, Any]) -> None:
    for column, name in enumerate(names):
        block[..., column] = values[name]


def _squad(arena: Arena, fixed: _Fixed, size: Floats, mates: Flags) -> tuple[_Places, _Places, _Float32]:
    """What the squad's radio tells of `mates` `[M, A, R]`: as much of each as the suite has detail for.

    Returns:
        Viewers, as lines of `M·A`, rows, and values `[L, 10]`.
    """
    mechs = arena.mechs
    side = size[:, None]
    known = np.empty((*mechs.alive.shape, len(SQUAD)), np.float32)
    values = {
        "x": mechs.position[..., 0] / side,
        "y": mechs.position[..., 1] / side,
        "z": mechs.altitude / side,
        "velocity_x": mechs.velocity[..., 0] / SPEED_SCALE,
        "velocity_y": mechs.velocity[..., 1] / SPEED_SCALE,
        "hp": mechs.hp / fixed.hp,
        "heat": np.minimum(mechs.heat / fixed.capacity, HEAT_TOP),
        "stability": mechs.stability / STABILITY,
        "engaged": mechs.targeted | (mechs.hurried > 0),
        "leader": mechs.roster.leads,
    }
    _write(known, SQUAD, values)
    places, rows = mates.shape[1:]
    cell = np.flatnonzero(mates)
    viewer, row = np.divmod(cell, rows)
    place = viewer % places
    known = known.reshape(-1, len(SQUAD))
    told = known.take(viewer - place + fixed.mates.reshape(-1).take(place * rows + row), 0)
    told -= (known * _RELATIVE).take(viewer, 0)
    told *= fixed.told.take(place, 0)
    return viewer, row, told


def _ego(arena: Arena, fixed: _Fixed, size: Floats) -> dict[str, Any]:
    """What a mech knows of itself, `[M, A]` each."""
    mechs = arena.mechs
    side = size[:, None]
    heat = mechs.heat / fixed.capacity
    team = mechs.roster.team
    score = np.minimum(arena.score / SCORE_TO_WIN, 1)
    cooldown = np.minimum(mechs.cooldown / TIMER_SECONDS, 1)
    return {
        "hp": mechs.hp / fixed.hp,
        "leg_hp": mechs.leg_hp / fixed.leg_hp,
        "heat": np.minimum(heat, HEAT_TOP),
        "headroom": np.maximum(1 - heat, 0),
        "stability": mechs.stability / STABILITY,
        "fallen": mechs.fallen > 0,
        "legged": mechs.legged,
        "shutdown": mechs.shut_down,
        "sin_yaw": mechs.heading[..., 1],
        "cos_yaw": mechs.heading[..., 0],
        "velocity_x": mechs.velocity[..., 0] / SPEED_SCALE,
        "velocity_y": mechs.velocity[..., 1] / SPEED_SCALE,
        "velocity_z": mechs.climb / SPEED_SCALE,
        **{f"{name}_cooldown": cooldown[..., timer] for timer, name in enumerate(TIMERS)},
        "targeted": mechs.targeted,
        "under_fire": mechs.hurried > 0,
        "painted": (mechs.paint > 0).any(1),
        "incoming_missile": mechs.hunted,
        "damage_x": mechs.struck[..., 0],
        "damage_y": mechs.struck[..., 1],
        "in_zone": mechs.inside,
        "zone_x": (arena.grounds.zone[:, None, 0] - mechs.position[..., 0]) / side,
        "zone_y": (arena.grounds.zone[:, None, 1] - mechs.position[..., 1]) / side,
        "zone_radius": arena.grounds.radius[:, None] / side,
        "control": arena.control[:, None] * np.where(team == 0, 1, -1),
        "score": score[:, team],
        "enemy_score": score[:, 1 - team],
        "time": np.minimum(arena.clock / DECISIONS, 1)[:, None],
        "suppressed": mechs.suppressed > 0,
    }


def _panel(arena: Arena, fixed: _Fixed, sees: Flags, shown: Contacts, mates: Flags) -> dict[str, Any]:
    """What pooling over rows would lose, `[M, A]` each.

    `intel` are enemies that only others of the team see, `has_order` tells whether a leader lives who gives orders.
    """
    mechs = arena.mechs
    # Friends and enemies of every viewer, in one sum.
    mass = np.bincount(2 * shown.viewer + shown.hostile, fixed.mass.take(shown.place), 2 * mechs.alive.size)
    mass = np.minimum(mass.reshape(*mechs.alive.shape, 2) / HEAVY_LOAD, 1)
    complement = (mechs.present.take(fixed.mates, 1) & fixed.is_mate).sum(2)
    alert = (mechs.hurried > 0) | (mechs.hp < LOW_HP * fixed.hp) | (mechs.heat > HIGH_HEAT * fixed.capacity)
    return {
        "contacts": shown.count / fixed.slots,
        "intel": _intel(arena, fixed, sees) if arena.visibility != "full" else 0.0,
        "has_order": (mechs.alive[:, None, :] & fixed.commands).any(2),
        "squad": mates.sum(2) / np.maximum(complement, 1),
        "threat": mass[..., 1],
        "friends": mass[..., 0],
        "alert": alert | (mechs.stability < LOW_STABILITY),
        "detail": fixed.detail / 2,
    }


def _intel(arena: Arena, fixed: _Fixed, sees: Flags) -> Floats:
    """Enemies that others report and the suite has room for, as a share of that room."""
    team = arena.roster.team
    reported = np.stack([sees[:, team == side].any(1) for side in (0, 1)], 1)[:, team]
    count = (reported & ~sees & ~arena.roster.allied).sum(2)
    share: Floats = np.minimum(count / fixed.intel, 1) * fixed.reports
    return share


@frozen(eq=False)
class _Fixed:
    """What does not change while the roster is the same.

    Attributes:
        hp, leg_hp, capacity, mass: Of the class, `[A]`.
        slots, intel, reports, detail: Of the suite, `[A]`.
        descriptor: `[A, 14]`.
        mates: Who is in which row of the squad, `[A, R]`.
        is_mate: Whether such a row is in use, `[A, R]`.
        told: 1 for numbers of mates that the suite shows, `[A, 10]`.
        commands: Whether the column gives orders to the row, `[A, A]`.
    """

    hp: Floats
    leg_hp: Floats
    capacity: Floats
    mass: Floats
    slots: Floats
    intel: Floats
    reports: Flags
    detail: Floats
    descriptor: Floats
    mates: _Places
    is_mate: Flags
    told: _Float32
    commands: Flags


@lru_cache
def _fixed(roster: Roster) -> _Fixed:
    classes = [CHASSIS[chassis] for chassis in roster.chassis]
    suites = [SUITES[suite] for suite in roster.suite]
    mates, is_mate = _mates(roster)
    detail = np.array([suite.detail for suite in suites])
    level = {"velocity_x": 1, "velocity_y": 1, "hp": 1, "heat": 1, "stability": 2, "engaged": 2}
    leads = roster.allied & roster.leads & ~np.eye(len(suites), dtype=np.bool_)
    same_pack = roster.pack[:, None] == roster.pack
    return _Fixed(
        hp=np.array([known.hp for known in classes]),
        leg_hp=np.array([known.leg_hp for known in classes]),
        capacity=np.array([known.heat_capacity for known in classes]),
        mass=np.array([known.mass for known in classes]),
        slots=np.array([suite.contacts for suite in suites], float),
        intel=np.array([suite.intel for suite in suites], float),
        reports=np.array([suite.contact_reports for suite in suites]),
        detail=detail,
        descriptor=np.array([_descriptor(suite) for suite in roster.suite.tolist()]),
        mates=mates,
        is_mate=is_mate,
        told=(detail[:, None] >= np.array([level.get(name, 0) for name in SQUAD])).astype(np.float32),
        commands=leads & (same_pack | (roster.suite == SQUAD_COMMAND)),
    )


def _descriptor(number: int) -> list[float]:
    """Which suite it is and what it can do; the range factor from 0 (0.8) to 1 (1.5)."""
    suite = SUITES[number]
    lowest, highest = (extreme(known.range_factor for known in SUITES) for extreme in (min, max))
    return [
        *np.eye(len(SUITES))[number],
        suite.contacts / MAX_CONTACTS,
        (suite.range_factor - lowest) / (highest - lowest),
        suite.fidelity,
        suite.detail / 2,
        suite.sees_engaged,
        suite.gives_orders,
        suite.contact_reports,
        suite.intel > 5,
    ]


def _mates(roster: Roster) -> tuple[NDArray[np.int64], Flags]:
    """The others of the pack, of all packs for who leads them; as many as the suite shows."""
    places = range(len(roster.team))
    shown = []
    for place in places:
        others = [
            other
            for other in places
            if other != place
            and roster.team[other] == roster.team[place]
            and roster.pack[place] in (OF_ALL, roster.pack[other])
        ]
        shown.append(others[: SUITES[roster.suite[place]].squad])
    width = max(map(len, shown))
    return (
        np.array([[*row, *[0] * (width - len(row))] for row in shown]),
        np.array([[True] * len(row) + [False] * (width - len(row)) for row in shown]),
    )


@lru_cache
def _nobody() -> _Float32:
    row = np.zeros(FLAT_OBS_DIM, np.float32)
    row[CONTACT_MASK_AT] = row[SQUAD_MASK_AT] = 1
    return row
