"""The contact tables: whom every mech shows, in which order, and what of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.perception.layout import CONTACT, MAX_CONTACTS
from esper_echelon.simulation.mechs import Flags, Floats, Mechs
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import CHASSIS, GRAVITY, STABILITY, SUITES

RESERVED_FRIENDS = 3
"""Rows that friends have before enemies; then come enemies, then the remaining friends."""

SLOW, ADJACENT = 0.5, 1.0
"""Speed and distance from which on a contact has a direction of flight, m/s and m."""

SHOT_SPEED = 40.0
"""Speed of the ballistic shot that `lead_pitch` is for, m/s."""

SPEED_SCALE = 10.0
"""What velocities are divided by, m/s."""

SPEED_TOP = 2.0
"""Largest relative velocity that is shown, in 10 m/s; only who falls and sees another rise would see more."""

HEAT_TOP = 2.0
"""Largest heat that is shown, in capacities."""

_PLACE_BITS, _STEPS = 5, 1 << 16
_HOSTILE, _NEVER = 1 << 50, 1 << 60
"""Keys of the sort: the relation, then the square of the distance in steps of m²/65536, then the place."""

_AT = {name: column for column, name in enumerate(CONTACT)}
_Places = NDArray[np.int64]


@frozen(eq=False)
class Contacts:
    """The contacts that are shown, L in all: viewer by viewer, nearest first, three friends before enemies.

    Attributes:
        viewer: Who shows it, as a line of `M·A`, int64 `[L]`.
        row: In which row, int64 `[L]`.
        place: Whose it is, int64 `[L]`.
        hostile: bool `[L]`; whether it is an enemy's.
        values: float32 `[L, 25]`.
        count: Rows in use, int64 `[M, A]`.
    """

    viewer: _Places
    row: _Places
    place: _Places
    hostile: Flags
    values: NDArray[np.float32]
    count: _Places


def contacts(mechs: Mechs, sees: Flags, paint: Flags, size: Floats) -> Contacts:
    """Return what the contact tables show.

    Args:
        mechs: All mechs.
        sees: `[M, A, A]`, rows see columns.
        paint: `[M, A, A]`, whether a row may use a paint lock on a column.
        size: Of the maps, `[M]`, m; positions are divided by it.
    """
    viewer, row, place, hostile, count = _chosen(mechs, sees)
    matches, places = mechs.alive.shape
    line = viewer - viewer % places + place
    values = _templates(mechs).take(line + matches * places * hostile, 0)
    moving = np.empty((6, matches, places), np.float32)
    moving[0], moving[1], moving[2] = mechs.position[..., 0], mechs.position[..., 1], mechs.altitude
    moving[3], moving[4], moving[5] = mechs.velocity[..., 0], mechs.velocity[..., 1], mechs.climb
    flat = moving.reshape(6, -1)
    there = flat.take(line, 1)
    away = there - flat.take(viewer, 1)
    scale = (1 / size).astype(np.float32).take(viewer // places)
    for axis in range(3):
        values[:, _AT["x"] + axis] = away[axis] * scale
        values[:, _AT["velocity_x"] + axis] = away[3 + axis] * np.float32(1 / SPEED_SCALE)
    np.clip(values[:, _AT["velocity_z"]], -SPEED_TOP, SPEED_TOP, out=values[:, _AT["velocity_z"]])
    if paint.any():
        values[:, _AT["painted"]] = paint.reshape(-1).take(viewer * places + place)
    _ballistics(values, away, there[3:])
    return Contacts(viewer, row, place, hostile, values, count)


def _chosen(mechs: Mechs, sees: Flags) -> tuple[_Places, _Places, _Places, Flags, _Places]:
    """Who is in which row: one sort by relation and distance, from which reserved rows are read off."""
    slots, relation, ranks = _rules(mechs.roster)
    matches, places = mechs.alive.shape
    x, y = mechs.position[..., 0], mechs.position[..., 1]
    keys = x[:, None, :] - x[:, :, None]
    keys *= keys
    aside = y[:, None, :] - y[:, :, None]
    aside *= aside
    keys += aside
    keys *= _STEPS
    order = keys.astype(np.int64)
    order <<= _PLACE_BITS
    order += relation
    np.copyto(order, _NEVER, where=~sees)
    order.sort(axis=2)
    by_team = sees.view(np.int8).reshape(matches, places, 2, -1).sum(3, dtype=np.int8).astype(np.int64)
    friends = np.where(mechs.roster.team == 0, by_team[..., 0], by_team[..., 1])
    enemies = by_team[..., 0] + by_team[..., 1] - friends
    count = np.minimum(friends + enemies, slots)
    flat = count.reshape(-1)
    viewer = np.repeat(np.arange(matches * places), flat)
    row = np.arange(len(viewer)) - np.repeat(np.cumsum(flat) - flat, flat)
    pattern = (friends * (places + 1) + enemies).reshape(-1) * MAX_CONTACTS
    rank = ranks.take(pattern.take(viewer) + row)
    place = order.reshape(-1).take(viewer * places + rank)
    hostile = place >= _HOSTILE
    place &= (1 << _PLACE_BITS) - 1
    return viewer, row, place, hostile, count


def _templates(mechs: Mechs) -> NDArray[np.float32]:
    """What a row says whoever looks, `[2·M·A, 25]`: everybody as a friend, then everybody as an enemy."""
    matches, places = mechs.alive.shape
    chassis = mechs.roster.chassis
    rows = np.zeros((2, matches, places, len(CONTACT)), np.float32)
    values = {
        "sin_yaw": mechs.heading[..., 1],
        "cos_yaw": mechs.heading[..., 0],
        "hp": mechs.hp / _HP[chassis],
        "heat": np.minimum(mechs.heat / mechs.capacity, HEAT_TOP),
        "stability": mechs.stability / STABILITY,
        "fallen": mechs.fallen > 0,
        "legged": mechs.legged,
        "visible": 1.0,
    }
    for name, value in values.items():
        rows[0, ..., _AT[name]] = value
    rows[0, ..., _AT["is_scout"] : _AT["is_scout"] + len(CHASSIS)] = np.eye(len(CHASSIS))[chassis]
    rows[1] = rows[0]
    rows[0, ..., _AT["friendly"]] = 1
    rows[1, ..., _AT["hostile"]] = 1
    return rows.reshape(-1, len(CONTACT))


def _ballistics(values: NDArray[np.float32], away: NDArray[np.float32], flight: NDArray[np.float32]) -> None:
    """Write pitch of a shot, closing and crossing; `away` `[6, L]` is relative to the viewer, `flight` `[3, L]` not."""
    x, y, z, *relative = away
    ground = x * x + y * y
    apart = np.sqrt(ground + z * z)
    near = np.maximum(apart, ADJACENT)
    closing = (x * relative[0] + y * relative[1] + z * relative[2]) / (near * -SPEED_SCALE)
    values[:, _AT["closing"]] = np.clip(closing, -1, 1)

    speed = np.sqrt(flight[0] * flight[0] + flight[1] * flight[1] + flight[2] * flight[2])
    along = (x * flight[0] + y * flight[1] + z * flight[2]) / (near * np.maximum(speed, SLOW))
    crosses = (speed >= SLOW) & (apart >= ADJACENT)
    values[:, _AT["crossing"]] = (1 - np.minimum(np.abs(along), 1)) * crosses

    # The flatter root of the trajectory through the target, without the difference of nearly equal numbers.
    square = SHOT_SPEED**2
    drop = GRAVITY * ground + 2 * square * z
    within = square * square - GRAVITY * drop
    tangent = drop / ((square + np.sqrt(np.maximum(within, 0))) * np.sqrt(np.maximum(ground, ADJACENT)))
    pitch = np.clip(np.arctan(tangent) * (4 / np.pi), -1, 1)
    values[:, _AT["lead_pitch"]] = np.where(within < 0, np.float32(1), pitch)


@lru_cache
def _rules(roster: Roster) -> tuple[_Places, _Places, _Places]:
    """Return rows of each place `[A]`, what of a sort's key does not change `[A, A]`, and ranks.

    Ranks `[A + 1, A + 1, MAX_CONTACTS]`: with so many friends and enemies seen, who of them is in a row, friends first.
    """
    slots = np.array([suite.contacts for suite in SUITES])[roster.suite]
    relation = np.where(roster.allied, 0, _HOSTILE) + np.arange(len(slots))
    friends, enemies, row = np.ogrid[: len(slots) + 1, : len(slots) + 1, :MAX_CONTACTS]
    reserved = np.minimum(friends, RESERVED_FRIENDS)
    behind = np.where(row < reserved + enemies, row + friends - reserved, row - enemies)
    return slots, relation, np.where(row < reserved, row, behind)


_HP = np.array([known.hp for known in CHASSIS])
