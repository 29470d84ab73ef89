"""What hits do to their targets."""

from __future__ import annotations

import numpy as np
from attrs import evolve, fields, frozen
from numpy.typing import NDArray

from esper_echelon.simulation.happenings import HAZARD, Assists, Damage, Deaths
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.moment import Moment
from esper_echelon.simulation.pairs import by_team
from esper_echelon.simulation.stability import fall
from esper_echelon.simulation.tables import DECISION, LEG_SHARE, PAINT_BONUS, REAR_BONUS, REAR_COSINE
from esper_echelon.simulation.weaponry import column

_DAMAGE, _STABILITY, _HEAT, _SUPPRESS = (column(name) for name in ("damage", "stability", "target_heat", "suppress"))


@frozen(eq=False)
class Hits:
    """Hits that land at once, a row each.

    Attributes:
        match, source, target: Places; a source of HAZARD is the ground.
        amount: Points before rear arc, paint and legs are looked at.
        stability: That it takes.
        heat: That it gives.
        suppress: Seconds for which it suppresses.
        along: `[R, 2]`, unit vectors of where it travels; zeros where it has no direction.
        direct: bool; whether rear arc and paint count.
        legs: bool; whether it is the legs that are hit.
    """

    match: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    amount: Floats
    stability: Floats
    heat: Floats
    suppress: Floats
    along: Floats
    direct: Flags
    legs: Flags

    @classmethod
    def of(
        cls,
        match: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        weapon: NDArray[np.int64],
        along: Floats,
        legs: Flags,
    ) -> Hits:
        """Return direct hits of weapons, positions in `esper_echelon.simulation.weaponry.WEAPONS`."""
        amount, stability, heat, suppress = (part[weapon] for part in (_DAMAGE, _STABILITY, _HEAT, _SUPPRESS))
        direct = np.ones(len(match), np.bool_)
        return cls(match, source, target, amount, stability, heat, suppress, along, direct, legs)

    @classmethod
    def plain(
        cls,
        match: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        amount: Floats,
        along: Floats,
    ) -> Hits:
        """Return hits that do nothing but take points."""
        none, no = np.zeros(len(match)), np.zeros(len(match), np.bool_)
        return cls(match, source, target, amount, none, none, none, along, no, no)

    def joined(self, other: Hits) -> Hits:
        """Return these and others."""
        return Hits(*(np.concatenate((getattr(self, p.name), getattr(other, p.name))) for p in fields(Hits)))


def burn(moment: Moment, standing: Flags, amount: float) -> None:
    """Let the ground take points from all who stand in it, `[M, A]`."""
    match, target = np.nonzero(standing & moment.live)
    if len(match):
        nobody, points = np.full(len(match), HAZARD), np.full(len(match), amount)
        land(moment, Hits.plain(match, nobody, target, points, np.zeros((len(match), 2))))


def land(moment: Moment, hits: Hits) -> None:
    """Let hits land at once, and let those die who have no points left.

    A hit on the legs takes all of its points from them and half of them from the body. Of hits that together take more
    than there is, each takes its part. Who dies was killed by the hit that took most.
    """
    if not len(hits.match):
        return
    mechs, match, target = moment.mechs, hits.match, hits.target
    shape = mechs.hp.shape
    hits = evolve(hits, amount=_modified(moment, hits))
    body = hits.amount * np.where(hits.legs, LEG_SHARE, 1.0)

    def total(amount: Floats) -> Floats:
        return by_team(shape, match, target, hits.source, amount)

    if hits.legs.any():
        np.maximum(mechs.leg_hp - total(np.where(hits.legs, hits.amount, 0.0)), 0.0, out=mechs.leg_hp)
    if hits.heat.any():
        mechs.heat += total(hits.heat)
    suppressing = hits.suppress > 0
    mechs.suppressed[match[suppressing], target[suppressing]] = hits.suppress[suppressing]
    taken = total(body)
    shares = np.minimum(mechs.hp / np.maximum(taken, 1e-300), 1.0)
    lost = body * shares[match, target]
    mechs.hp[...] = np.where(taken >= mechs.hp, 0.0, mechs.hp - taken)
    mechs.hurried[match, target] = DECISION
    _strike(moment, hits, lost)
    _write(moment, hits, lost)
    if hits.stability.any():
        np.maximum(mechs.stability - total(hits.stability), 0.0, out=mechs.stability)
    _die(moment, hits, lost)
    fall(mechs, moment.live & mechs.alive)


def _modified(moment: Moment, hits: Hits) -> Floats:
    facing = moment.mechs.heading[hits.match, hits.target]
    cosine = facing[:, 0] * hits.along[:, 0] + facing[:, 1] * hits.along[:, 1]
    amount = hits.amount * np.where(hits.direct & (cosine > REAR_COSINE), REAR_BONUS, 1.0)
    if moment.locked is None:
        return amount
    painted = hits.direct & moment.locked[hits.match, hits.source, hits.target]
    return amount * np.where(painted, PAINT_BONUS, 1.0)


def _strike(moment: Moment, hits: Hits, lost: Floats) -> None:
    """Remember from where it was hit; of several at once, their mean by points."""
    x, y = (
        by_team(moment.live.shape, hits.match, hits.target, hits.source, hits.along[:, axis] * lost) for axis in (0, 1)
    )
    length = np.sqrt(x * x + y * y)
    struck = length > 0
    moment.mechs.struck[struck] = np.stack((x[struck], y[struck]), axis=-1) / length[struck][:, None]


def _write(moment: Moment, hits: Hits, lost: Floats) -> None:
    position = moment.mechs.position[hits.match, hits.target]
    rows = Damage(hits.match, hits.source, hits.target, lost, position[:, 0], position[:, 1])
    moment.chronicle.damage.append(rows)
    if moment.locked is None:
        return
    painters = moment.mechs.paint[hits.match, :, hits.target] > 0
    painters &= moment.roster.shares_paint[hits.source] & hits.direct[:, None]
    painters[np.arange(len(lost)), hits.source] = False
    row, painter = np.nonzero(painters)
    if len(row):
        moment.chronicle.assists.append(Assists(hits.match[row], painter, hits.target[row], lost[row]))


def _die(moment: Moment, hits: Hits, lost: Floats) -> None:
    mechs = moment.mechs
    dying = moment.live & (mechs.hp <= 0)
    if not dying.any():
        return
    mechs.alive[dying] = False
    for still in (mechs.velocity, mechs.climb, mechs.ecm, mechs.eccm):
        still[dying] = 0
    blows = np.flatnonzero(dying[hits.match, hits.target])
    match, source, target = hits.match[blows], hits.source[blows], hits.target[blows]
    friendly = moment.roster.allied[source, target]
    who = match * dying.shape[1] + target
    order = np.lexsort((source, friendly, -lost[blows], who))
    first = order[np.unique(who[order], return_index=True)[1]]
    x, y = mechs.position[match[first], target[first]].T
    moment.chronicle.deaths.append(Deaths(match[first], source[first], target[first], x, y))
