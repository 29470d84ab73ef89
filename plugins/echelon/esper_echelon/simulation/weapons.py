"""Who fires what at whom."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.damage import Hits, land
from esper_echelon.simulation.flights import Flights
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.moment import Moment
from esper_echelon.simulation.noise import Purpose
from esper_echelon.simulation.orders import Orders
from esper_echelon.simulation.pairs import by_team
from esper_echelon.simulation.sensors import quality
from esper_echelon.simulation.sight import clear
from esper_echelon.simulation.tables import (
    AUTOCANNON,
    FLAMER,
    GAUSS,
    GRAVITY,
    LASER,
    LEG_HEIGHT,
    LOCK_QUALITY,
    MISSILE,
    MISSILE_BLIND_RANGE,
    PAINT_SECONDS,
    PAINTER,
    SMOKE,
    TIMERS,
)
from esper_echelon.simulation.weaponry import WEAPONS, Weaponry, column, cosine

_RANGE, _HEAT, _COOLDOWN, _SPEED = (column(name) for name in ("range", "heat", "cooldown", "speed"))
_COSINE = np.array([cosine(weapon) for weapon in WEAPONS])
_LASER, _FLAMER, _MISSILE, _GAUSS, _AUTOCANNON, _PAINTER, _SMOKE = (
    WEAPONS.index(weapon) for weapon in (LASER, FLAMER, MISSILE, GAUSS, AUTOCANNON, PAINTER, SMOKE)
)
_KINETIC = TIMERS.index("kinetic")
_FAR = 1e12
"""Squared distance of whom nobody aims at."""


@frozen(eq=False)
class Shots:
    """Shots that are fired at once, a row each: match, shooter, target, weapon, and the vector to the target."""

    match: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weapon: NDArray[np.int64]
    towards: Floats
    distance: Floats

    def of(self, *weapons: int) -> Shots:
        """Return those of some weapons."""
        those = np.isin(self.weapon, weapons)
        match, source, target, weapon = (part[those] for part in (self.match, self.source, self.target, self.weapon))
        return Shots(match, source, target, weapon, self.towards[those], self.distance[those])


def fire(moment: Moment, flights: Flights, orders: Orders, weaponry: Weaponry) -> None:
    """Let all fire who want to and can: at the nearest enemy in range, arc and sight; who finds none keeps the shot.

    Whoever lies on the ground fires no kinetics. A missile with a paint lock, and sensors that are good enough, needs
    no sight. Smoke needs no target.
    """
    mechs = moment.mechs
    able = moment.live & (mechs.heat <= moment.bodies.capacity)
    shots = _aimed(moment, orders.fire[..., :-1] & able[..., None], weaponry)
    if shots is not None:
        _spend(moment, shots.match, shots.source, shots.weapon)
        mechs.targeted[shots.match, shots.target] = True
        _launch(moment, flights, shots.of(_MISSILE, _GAUSS, _AUTOCANNON))
    wanted = orders.fire[..., -1] & able & (mechs.cooldown[..., SMOKE.timer] <= 0)
    match, source = np.nonzero(wanted)
    if len(match):
        _throw(moment, flights, match, source)
    if shots is not None:
        beams = shots.of(_LASER, _FLAMER)
        land(moment, Hits.of(beams.match, beams.source, beams.target, beams.weapon, _along(beams), _low(moment, beams)))
        painted = shots.of(_PAINTER)
        mechs.paint[painted.match, painted.source, painted.target] = PAINT_SECONDS


def _aimed(moment: Moment, wanted: Flags, weaponry: Weaponry) -> Shots | None:
    """Return the shots of who wants to, `[M, A, S − 1]`, and has a target; None where nobody has."""
    mechs, pairs, n = moment.mechs, moment.pairs, moment.roster.team_size
    places = np.arange(2 * n)
    squared = np.empty((len(wanted), 2 * n, n))
    for own, other in ((slice(None, n), slice(n, None)), (slice(n, None), slice(None, n))):
        squared[:, own] = np.where(moment.live[:, None, other], pairs.squared[:, own, other], _FAR)
    timer, reach = weaponry.timer[:, :-1], weaponry.range[:, :-1]
    wanted &= mechs.cooldown[:, places[:, None], timer] <= 0
    wanted &= squared.min(axis=-1)[..., None] <= reach * np.abs(reach)
    wanted &= (mechs.fallen <= 0)[..., None] | (timer != _KINETIC)
    match, source, slot = np.nonzero(wanted)
    if not len(match):
        return None
    weapon = weaponry.weapon[source, slot]
    enemy = np.where(source < n, n, 0)[:, None] + np.arange(n)
    square = squared[match, source]
    at = match[:, None], source[:, None], enemy
    x, y = pairs.x[at], pairs.y[at]
    heading = mechs.heading[match, source]
    ahead = heading[:, :1] * x + heading[:, 1:] * y
    distance = np.sqrt(square)
    reach = np.broadcast_to(_RANGE[weapon][:, None], square.shape)
    needs_sight = np.ones(square.shape, np.bool_)
    missiles = weapon == _MISSILE
    if missiles.any():
        locked = _locked(moment, match, source, enemy) & missiles[:, None]
        reach = np.where(missiles[:, None] & ~locked, MISSILE_BLIND_RANGE, reach)
        needs_sight &= ~locked
    possible = (distance <= reach) & (ahead >= _COSINE[weapon][:, None] * distance)
    _look(moment, possible, needs_sight, match, source, enemy)
    fired = np.flatnonzero(possible.any(axis=-1))
    if not len(fired):
        return None
    best = np.where(possible[fired], square[fired], _FAR).argmin(axis=-1)
    towards = np.stack((x[fired, best], y[fired, best]), axis=-1)
    return Shots(match[fired], source[fired], enemy[fired, best], weapon[fired], towards, distance[fired, best])


def _locked(
    moment: Moment, match: NDArray[np.int64], source: NDArray[np.int64], enemy: NDArray[np.int64]
) -> Flags | np.bool_:
    """Return whether a shooter may fire at an enemy that it does not see."""
    if moment.locked is None:
        return np.bool_(False)
    sharp = quality(moment.mechs)[match, source] >= LOCK_QUALITY
    return np.asarray(moment.locked[match[:, None], source[:, None], enemy] & sharp[:, None])


def _look(
    moment: Moment,
    possible: Flags,
    needs_sight: Flags,
    match: NDArray[np.int64],
    source: NDArray[np.int64],
    enemy: NDArray[np.int64],
) -> None:
    """Rule out the targets that something hides; each line is looked along once, whoever looks and from which end."""
    row, column_ = np.nonzero(possible & needs_sight)
    if not len(row):
        return
    n = moment.roster.team_size
    one, two = source[row], enemy[row, column_]
    line = (match[row] * n + np.minimum(one, two)) * n + np.maximum(one, two) - n
    needed = np.zeros(moment.live.shape[0] * n * n, np.bool_)
    needed[line] = True
    lines = np.flatnonzero(needed)
    of, second = np.divmod(lines, n)
    of, first = np.divmod(of, n)
    start, end = moment.centre(of, first), moment.centre(of, second + n)
    needed[lines] = clear(moment.grounds, moment.clouds, of, start, end)
    possible[row, column_] = needed[line]


def _spend(moment: Moment, match: NDArray[np.int64], source: NDArray[np.int64], weapon: NDArray[np.int64]) -> None:
    mechs = moment.mechs
    timer = np.array([known.timer for known in WEAPONS])[weapon]
    mechs.cooldown[match, source, timer] = _COOLDOWN[weapon]
    mechs.heat += by_team(mechs.heat.shape, match, source, source, _HEAT[weapon])


def _along(shots: Shots) -> Floats:
    return np.asarray(shots.towards / np.maximum(shots.distance, 1e-9)[:, None])


def _low(moment: Moment, beams: Shots) -> Flags:
    """Return which beams hit the legs: they hit between a quarter and three quarters of a body's height."""
    low = np.zeros(len(beams.match), np.bool_)
    for weapon, purpose in ((_LASER, Purpose.LASER_HEIGHT), (_FLAMER, Purpose.FLAMER_HEIGHT)):
        rows = beams.weapon == weapon
        if rows.any():
            height = 0.25 + 0.5 * moment.chance(purpose)[beams.match[rows], beams.source[rows]]
            low[rows] = height < LEG_HEIGHT
    return low


def _launch(moment: Moment, flights: Flights, shots: Shots) -> None:
    """Let projectiles start: missiles straight ahead, the others at the middle of their target.

    A gauss slug is fired as much higher as it falls on its way.
    """
    if not len(shots.match):
        return
    speed = _SPEED[shots.weapon]
    start, end = moment.centre(shots.match, shots.source), moment.centre(shots.match, shots.target)
    gap = end - start
    slug, missile = shots.weapon == _GAUSS, shots.weapon == _MISSILE
    length = np.sqrt(gap[:, 0] * gap[:, 0] + gap[:, 1] * gap[:, 1] + np.where(slug, 0.0, gap[:, 2] * gap[:, 2]))
    seconds = np.maximum(length, 1e-9) / speed
    velocity = gap / seconds[:, None]
    velocity[:, 2] += np.where(slug, GRAVITY * seconds / 2, 0.0)
    heading = moment.mechs.heading[shots.match, shots.source]
    level = np.concatenate((heading, np.zeros((len(heading), 1))), axis=-1)
    velocity = np.where(missile[:, None], level * speed[:, None], velocity)
    left = _RANGE[shots.weapon] / speed
    flights.add(shots.match, shots.source, shots.target, shots.weapon, start, velocity, left)


def _throw(moment: Moment, flights: Flights, match: NDArray[np.int64], source: NDArray[np.int64]) -> None:
    """Let smoke shells start straight ahead."""
    weapon = np.full(len(match), _SMOKE)
    _spend(moment, match, source, weapon)
    heading = moment.mechs.heading[match, source] * SMOKE.speed
    velocity = np.concatenate((heading, np.zeros((len(match), 1))), axis=-1)
    left = np.full(len(match), SMOKE.range / SMOKE.speed)
    nobody = np.full(len(match), -1)
    flights.add(match, source, nobody, weapon, moment.centre(match, source), velocity, left)
