"""How projectiles fly, what stops them, and what they do then."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.damage import Hits, land
from esper_echelon.simulation.flights import Flights
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.moment import Moment
from esper_echelon.simulation.noise import Purpose
from esper_echelon.simulation.sight import walled
from esper_echelon.simulation.tables import (
    AMS_CHANCE,
    AMS_COOLDOWN,
    AMS_RANGE,
    DT,
    GAUSS,
    GRAVITY,
    HEAVY,
    LEG_HEIGHT,
    MISSILE,
    MISSILE_TURN,
    SMOKE,
    SPLASH_SHARE,
)
from esper_echelon.simulation.weaponry import WEAPONS, column

MISSILES, SLUGS, SHELLS = (WEAPONS.index(weapon) for weapon in (MISSILE, GAUSS, SMOKE))
_SPLASH, _DAMAGE = column("splash"), column("damage")
_TURN = round(math.cos(MISSILE_TURN * DT), 15), round(math.sin(MISSILE_TURN * DT), 15)
_SAMPLES = 4
"""Points of a projectile's way in which the ground is looked at: at most half a metre apart."""
_NEVER = 2.0


def fly(moment: Moment, flights: Flights) -> None:
    """Let all projectiles fly for a step of the simulation, and let their hits land at once.

    A projectile flies through its own team and hits the first enemy in its way. What meets an enemy, an obstacle or
    the floor bursts there; at the end of its range smoke bursts too, and everything else is gone.
    """
    if not len(flights):
        return
    _shoot_down(moment, flights)
    _steer(moment, flights)
    way = _Way.of(moment, flights)
    flights.position = way.start + way.step
    flights.velocity[:, 2] -= np.where(flights.weapon == SLUGS, GRAVITY * way.seconds, 0.0)
    flights.left = np.maximum(flights.left - DT, 0.0)
    spent = flights.left <= 1e-9
    stopped = way.hit | way.walled
    point = way.start + way.stop[:, None] * way.step
    smokes = (flights.weapon == SHELLS) & (stopped | spent)
    moment.clouds.add(flights.match[smokes], point[smokes, :2])
    direct, bursts = way.hit & (_DAMAGE[flights.weapon] > 0), stopped & (_SPLASH[flights.weapon] > 0)
    hits = _direct(moment, flights, way, direct)
    if bursts.any():
        hits = hits.joined(_splash(moment, flights, way, point, bursts))
    half = moment.grounds.size[flights.match] / 2
    outside = (np.abs(flights.position[:, :2]) > half[:, None]).any(axis=-1)
    flights.keep(~(stopped | spent | outside))
    land(moment, hits)


def _shoot_down(moment: Moment, flights: Flights) -> None:
    """Let every living heavy shoot at the nearest missile in range that is aimed at its team."""
    missiles = np.flatnonzero(flights.weapon == MISSILES)
    heavies = np.flatnonzero(moment.roster.chassis == HEAVY)
    if not len(missiles):
        return
    mechs, match = moment.mechs, flights.match[missiles][:, None]
    ready = moment.live[match, heavies] & (mechs.ams[match, heavies] <= 0)
    ready &= moment.roster.team[flights.target[missiles]][:, None] == moment.roster.team[heavies]
    row, which = np.nonzero(ready)
    missile, heavy = missiles[row], heavies[which]
    gap = flights.position[missile] - moment.centre(flights.match[missile], heavy)
    square = gap[:, 0] * gap[:, 0] + gap[:, 1] * gap[:, 1] + gap[:, 2] * gap[:, 2]
    near = square <= AMS_RANGE**2
    if not near.any():
        return
    missile, heavy, square = missile[near], heavy[near], square[near]
    gun = flights.match[missile] * len(moment.roster.team) + heavy
    order = np.lexsort((missile, square, gun))
    first = order[np.unique(gun[order], return_index=True)[1]]
    missile, heavy = missile[first], heavy[first]
    match = flights.match[missile]
    struck = moment.chance(Purpose.AMS)[match, heavy] < AMS_CHANCE
    mechs.ams[match[struck], heavy[struck]] = AMS_COOLDOWN
    keep = np.ones(len(flights), np.bool_)
    keep[missile[struck]] = False
    flights.keep(keep)


def _steer(moment: Moment, flights: Flights) -> None:
    """Turn missiles towards their living targets, as far as they can turn."""
    rows = np.flatnonzero(flights.weapon == MISSILES)
    rows = rows[moment.live[flights.match[rows], flights.target[rows]]]
    if not len(rows):
        return
    most, least = _TURN
    now = flights.velocity[rows] / MISSILE.speed
    gap = moment.centre(flights.match[rows], flights.target[rows]) - flights.position[rows]
    wanted = gap / np.maximum(_length(gap), 1e-9)[:, None]
    cosine = now[:, 0] * wanted[:, 0] + now[:, 1] * wanted[:, 1] + now[:, 2] * wanted[:, 2]
    across = wanted - cosine[:, None] * now
    bent = now * most + across / np.maximum(_length(across), 1e-9)[:, None] * least
    new = np.where((cosine >= most)[:, None], wanted, bent)
    flights.velocity[rows] = new / np.maximum(_length(new), 1e-9)[:, None] * MISSILE.speed


def _length(vectors: Floats) -> Floats:
    x, y, z = vectors.T
    return np.asarray(np.sqrt(x * x + y * y + z * z))


@frozen(eq=False)
class _Way:
    """The way of all projectiles in a step of the simulation, a row each.

    Attributes:
        seconds: For how long it flies.
        start, step: `[P, 3]`.
        stop: Share of the way after which it is stopped, 1 where nothing does.
        hit: bool; whether an enemy stops it, and `target` which.
        walled: bool; whether an obstacle or the floor does.
    """

    seconds: Floats
    start: Floats
    step: Floats
    stop: Floats
    hit: Flags
    target: NDArray[np.int64]
    walled: Flags

    @classmethod
    def of(cls, moment: Moment, flights: Flights) -> _Way:
        """Look along the ways."""
        seconds = np.minimum(flights.left, DT)
        step = flights.velocity * seconds[:, None]
        step[:, 2] -= np.where(flights.weapon == SLUGS, GRAVITY / 2 * seconds * seconds, 0.0)
        met, target = _meet(moment, flights, step)
        before, at = _run_aground(moment, flights, step)
        hit = met < at
        walled = ~hit & (at < _NEVER)
        stop = np.minimum(np.where(hit, met, np.where(walled, before, 1.0)), 1.0)
        return cls(seconds, flights.position, step, stop, hit, target, walled)


def _meet(moment: Moment, flights: Flights, step: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the share of the way to the first enemy that each touches, and who that is."""
    n, mechs = moment.roster.team_size, moment.mechs
    enemy = np.where(flights.source < n, n, 0)[:, None] + np.arange(n)
    match = flights.match[:, None]
    position = mechs.position[match, enemy]
    x, y = (position[..., axis] - flights.position[:, axis, None] for axis in (0, 1))
    step_x, step_y, step_z = (step[:, axis, None] for axis in (0, 1, 2))
    radius, height = moment.bodies.radius[enemy], moment.bodies.height[enemy]
    length = np.maximum(step_x * step_x + step_y * step_y, 1e-18)
    nearest = (x * step_x + y * step_y) / length
    x, y = x - nearest * step_x, y - nearest * step_y
    chord = radius * radius - (x * x + y * y)
    half = np.sqrt(np.maximum(chord, 0.0) / length)
    share = np.maximum(nearest - half, 0.0)
    above = flights.position[:, 2, None] + share * step_z - mechs.altitude[match, enemy]
    touched = (chord >= 0) & (nearest + half >= 0) & (share <= 1) & (above >= 0) & (above <= height)
    touched &= moment.live[match, enemy]
    share = np.where(touched, share, _NEVER)
    first = share.argmin(axis=-1)
    rows = np.arange(len(share))
    return share[rows, first], enemy[rows, first]


def _run_aground(moment: Moment, flights: Flights, step: Floats) -> tuple[Floats, Floats]:
    """Return the share of the way up to the last free point, and to the first that is not."""
    shares = np.arange(1, _SAMPLES + 1) / _SAMPLES
    points = flights.position[:, None, :] + shares[:, None] * step[:, None, :]
    match = flights.match[:, None]
    gy, gx = moment.grounds.cells(match, points[..., :2])
    blocked = points[..., 2] <= moment.grounds.heights[match, gy, gx]
    at = np.where(blocked.any(axis=-1), shares[blocked.argmax(axis=-1)], _NEVER)
    return at - 1 / _SAMPLES, at


def _direct(moment: Moment, flights: Flights, way: _Way, rows: Flags) -> Hits:
    match, target, step = flights.match[rows], way.target[rows], way.step[rows]
    height = way.start[rows, 2] + way.stop[rows] * step[:, 2] - moment.mechs.altitude[match, target]
    legs = height < LEG_HEIGHT * moment.bodies.height[target]
    return Hits.of(match, flights.source[rows], target, flights.weapon[rows], _level(step), legs)


def _splash(moment: Moment, flights: Flights, way: _Way, point: Floats, rows: Flags) -> Hits:
    """Return what bursts do to all others whose bodies are near them, and whom no obstacle protects."""
    mechs, bursts = moment.mechs, np.flatnonzero(rows)
    match, centre = flights.match[bursts], point[bursts]
    x, y = (mechs.position[match, :, axis] - centre[:, axis, None] for axis in (0, 1))
    feet = mechs.altitude[match]
    gap = np.maximum(np.maximum(feet - centre[:, 2, None], centre[:, 2, None] - feet - moment.bodies.height), 0.0)
    radius = _SPLASH[flights.weapon[bursts]][:, None]
    beside = np.maximum(np.sqrt(x * x + y * y) - moment.bodies.radius, 0.0)
    near = moment.live[match] & (beside * beside + gap * gap <= radius * radius)
    direct = way.hit[bursts]
    near[direct, way.target[bursts[direct]]] = False
    row, target = np.nonzero(near)
    open_ = ~walled(moment.grounds, match[row], centre[row], moment.centre(match[row], target))
    row, target = row[open_], target[open_]
    burst = bursts[row]
    amount = SPLASH_SHARE * _DAMAGE[flights.weapon[burst]]
    away = np.stack((x[row, target], y[row, target]), axis=-1)
    return Hits.plain(match[row], flights.source[burst], target, amount, _level(away))


def _level(vectors: Floats) -> Floats:
    """Return the directions over the ground, `[R, 2]`; zeros where there is none."""
    x, y = vectors[:, 0], vectors[:, 1]
    length = np.sqrt(x * x + y * y)
    return np.asarray(vectors[:, :2] / np.where(length > 0, length, 1.0)[:, None])
