"""The contact tables: whom every mech shows, in which order, and what of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.layout import CONTACT, MAX_CONTACTS
from esper_echelon.mechs import Flags, Floats, Mechs
from esper_echelon.roster import Roster
from esper_echelon.tables import CHASSIS, GRAVITY, STABILITY, SUITES

RESERVED_FRIENDS = 3
"""Rows that friends have before enemies; then come enemies, then the remaining friends."""

SLOW, ADJACENT = 0.5, 1.0
"""Speed and distance from which on a contact has a direction of flight, m/s and m."""

SHOT_SPEED = 40.0
"""Speed of the ballistic shot that `lead_pitch` is for, m/s."""

SPEED_SCALE = 10.0
"""What velocities are divided by, m/s."""

HEAT_TOP = 2.0
"""Largest heat that is shown, in capacities."""

_PLACE_BITS, _STEPS = 5, 1 << 16
_NEVER = 1 << 60
"""Keys of the sort: the relation, then the square of the distance in steps of m²/65536, then the place."""

_AT = {name: column for column, name in enumerate(CONTACT)}
_Places = NDArray[np.int64]


@frozen(eq=False)
class Contacts:
    """Whom everybody shows, nearest first, three friends before enemies: arrays `[M, A, K]`.

    Attributes:
        rows: float32 `[M, A, K, 25]`, zeros where there is nobody.
        shown: bool; whether a row is of somebody.
        hostile: bool; whether it is an enemy's.
        place: int64; whose it is, anybody's where nobody is shown.
    """

    rows: NDArray[np.float32]
    shown: Flags
    hostile: Flags
    place: _Places


def contacts(mechs: Mechs, sees: Flags, paint: Flags, size: Floats) -> Contacts:
    """Return the contact tables.

    Args:
        mechs: All mechs.
        sees: `[M, A, A]`, rows see columns.
        paint: `[M, A, A]`, whether a row may use a paint lock on a column.
        size: Of the maps, `[M]`, m; positions are divided by it.
    """
    place, shown, hostile = _chosen(mechs, sees)
    matches, places = mechs.alive.shape
    count = matches * places
    # Every mech as a friend, as an enemy, and nobody.
    line = (np.arange(matches) * places)[:, None, None] + place + count * hostile
    line = np.where(shown, line, 2 * count)
    rows = _templates(mechs).take(line, 0)

    seen_from = np.arange(count).reshape(matches, places, 1)
    moving = np.empty((6, 2 * count + 1))
    moving[0:2, :count] = np.moveaxis(mechs.position, -1, 0).reshape(2, -1)
    moving[2, :count] = mechs.altitude.reshape(-1)
    moving[3:5, :count] = np.moveaxis(mechs.velocity, -1, 0).reshape(2, -1)
    moving[5, :count] = mechs.climb.reshape(-1)
    moving[:, count : 2 * count] = moving[:, :count]
    moving[:, 2 * count] = 0
    there = moving.take(line, 1)
    away = there - moving.take(seen_from, 1)
    away *= shown

    scale = (1 / size)[:, None, None]
    for axis in range(3):
        rows[..., _AT["x"] + axis] = away[axis] * scale
        rows[..., _AT["velocity_x"] + axis] = away[3 + axis] / SPEED_SCALE
    if paint.any():
        flat = seen_from * places + place
        rows[..., _AT["painted"]] = paint.reshape(-1).take(flat) & shown
    _ballistics(rows, away, there[3:])
    return Contacts(rows, shown, hostile & shown, place)


def _chosen(mechs: Mechs, sees: Flags) -> tuple[_Places, Flags, Flags]:
    """Who is in which row: one sort by relation and distance, from which reserved rows are read off."""
    slots, relation = _rules(mechs.roster)
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
    order[~sees] = _NEVER
    order.sort(axis=2)
    places = order.shape[2]
    friends = (sees & mechs.roster.allied).sum(2)[..., None]
    enemies = sees.sum(2)[..., None] - friends
    row = np.arange(min(MAX_CONTACTS, places - 1))
    reserved = np.minimum(friends, RESERVED_FRIENDS)
    hostile = (row >= reserved) & (row < reserved + enemies)
    rank = np.where(hostile, row + (friends - reserved), np.where(row < reserved, row, row - enemies))
    shown = row < np.minimum(friends + enemies, slots[:, None])
    place = np.take_along_axis(order, np.where(shown, rank, 0), 2) & ((1 << _PLACE_BITS) - 1)
    return np.where(shown, place, 0), shown, hostile


def _templates(mechs: Mechs) -> NDArray[np.float32]:
    """What a row says whoever looks, `[2·M·A + 1, 25]`: everybody as a friend, everybody as an enemy, and nobody."""
    matches, places = mechs.alive.shape
    chassis = mechs.roster.chassis
    rows = np.zeros((2 * matches * places + 1, len(CONTACT)), np.float32)
    both = rows[:-1].reshape(2, matches, places, len(CONTACT))
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
        both[..., _AT[name]] = value
    both[..., _AT["is_scout"] : _AT["is_scout"] + len(CHASSIS)] = np.eye(len(CHASSIS))[chassis]
    both[0, ..., _AT["friendly"]] = 1
    both[1, ..., _AT["hostile"]] = 1
    return rows


def _ballistics(rows: NDArray[np.float32], away: Floats, flight: Floats) -> None:
    """Write pitch of a shot, closing and crossing: `away` `[6, M, A, K]` relative, `flight` `[3, M, A, K]` absolute."""
    x, y, z, *relative = away
    ground = x * x + y * y
    apart = np.sqrt(ground + z * z)
    near = np.maximum(apart, ADJACENT)
    closing = (x * relative[0] + y * relative[1] + z * relative[2]) / (near * -SPEED_SCALE)
    rows[..., _AT["closing"]] = np.clip(closing, -1, 1)

    speed = np.sqrt(flight[0] * flight[0] + flight[1] * flight[1] + flight[2] * flight[2])
    along = (x * flight[0] + y * flight[1] + z * flight[2]) / (near * np.maximum(speed, SLOW))
    crosses = (speed >= SLOW) & (apart >= ADJACENT)
    rows[..., _AT["crossing"]] = (1 - np.minimum(np.abs(along), 1)) * crosses

    square = SHOT_SPEED**2
    within = square * square - GRAVITY * (GRAVITY * ground + 2 * square * z)
    tangent = (square - np.sqrt(np.maximum(within, 0))) / (GRAVITY * np.sqrt(np.maximum(ground, ADJACENT)))
    rows[..., _AT["lead_pitch"]] = np.where(within < 0, 1.0, np.clip(np.arctan(tangent) * (4 / np.pi), -1, 1))


@lru_cache
def _rules(roster: Roster) -> tuple[_Places, _Places]:
    """Rows of each place `[A]`, and what of a sort's key does not change, `[A, A]`."""
    slots = np.array([suite.contacts for suite in SUITES])[roster.suite]
    hostile = (~roster.allied).astype(np.int64) * (1 << 50)
    return slots, hostile + np.arange(len(slots))


_HP = np.array([known.hp for known in CHASSIS])
