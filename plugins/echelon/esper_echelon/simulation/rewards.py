"""What a decision pays, in parts: the weights are data, the parts are logged."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from esper_echelon.simulation.happenings import Happenings
from esper_echelon.simulation.mechs import Flags, Floats
from esper_echelon.simulation.roster import Roster

COMPONENTS = ("approach", "zone", "damage", "kill", "assist", "death", "friendly", "win")
"""The parts of a reward."""


@frozen
class RewardWeights:
    """The terms of the reward.

    Attributes:
        approach: For coming nearer to the zone by the length of the map, paid outside the zone.
        crowding: Factor on `approach` for every other of the team who is in the zone.
        zone: For a whole tick of the zone, shared by those of the team who are in it.
        damage: Per point of damage done to the other team.
        kill: For a kill.
        assist: For all the points of a mech that others shot under one's paint; a part of them pays that part.
        contested: Factor on damage, kills and assists of who is in a contested zone.
        death: For dying.
        contested_death: Factor on it in a contested zone.
        friendly_damage: Per point of damage done to the own team, oneself included.
        friendly_kill: For killing one of the own team, oneself included.
        win: For winning; losing costs as much.
    """

    approach: float = 1.5
    crowding: float = 0.5
    zone: float = 6.0
    damage: float = 0.05
    kill: float = 10.0
    assist: float = 5.0
    contested: float = 2.0
    death: float = -1.0
    contested_death: float = 0.5
    friendly_damage: float = -0.05
    friendly_kill: float = -10.0
    win: float = 0.0


@frozen(eq=False)
class Changes:
    """What a decision has changed, as far as rewards look at it.

    Attributes:
        nearer: `[M, A]`, how much nearer to the centre of the zone it came, in lengths of the map.
        inside: bool `[M, A]`; who stands in the zone now.
        living: bool `[M, A]`; who lives now.
        ticks: `[M, 2]`, the share of a tick that each team got.
        fought_inside: bool `[M, A]`; who stood in a contested zone when the decision began.
        outcome: `[M, A]`; 1 for a win, −1 for a defeat, both only in the last decision.
    """

    nearer: Floats
    inside: Flags
    living: Flags
    ticks: Floats
    fought_inside: Flags
    outcome: Floats


def pay(
    weights: RewardWeights, roster: Roster, points: Floats, changes: Changes, happenings: Happenings
) -> dict[str, Floats]:
    """Return the parts of the reward, each `[M, A]`, by COMPONENTS.

    Args:
        weights: What things are worth.
        roster: Who is in which team.
        points: `[A]`, the damage that bears a mech at every place.
        changes: What is different after the decision.
        happenings: What happened in it.
    """
    inside, shape = changes.inside, changes.inside.shape
    n = roster.team_size
    crowd = np.repeat(inside.reshape(-1, 2, n).sum(-1), n, axis=-1)
    outside = changes.living & ~inside
    boost = np.where(changes.fought_inside, weights.contested, 1.0)
    ticks = np.repeat(changes.ticks, n, axis=-1)
    parts = {
        "approach": np.where(outside, weights.approach * changes.nearer * weights.crowding**crowd, 0.0),
        "zone": np.where(inside, weights.zone * ticks / np.maximum(crowd, 1), 0.0),
        "win": weights.win * changes.outcome,
    }
    parts.update({name: np.zeros(shape) for name in COMPONENTS if name not in parts})
    if len(happenings.damage.match):
        parts.update(_fights(weights, roster, points, boost, happenings, changes.fought_inside))
    return {name: parts[name] for name in COMPONENTS}


def _fights(
    weights: RewardWeights, roster: Roster, points: Floats, boost: Floats, happenings: Happenings, fought_inside: Flags
) -> dict[str, Floats]:
    shape = boost.shape

    def summed(match: Any, place: Any, amount: Any) -> Floats:
        at = match * shape[1] + place
        return np.bincount(at, amount, shape[0] * shape[1]).astype(np.float64).reshape(shape)

    damage, deaths, assists = happenings.damage, happenings.deaths, happenings.assists
    hostile = (damage.source >= 0) & ~roster.allied[damage.source, damage.target]
    friendly = (damage.source >= 0) & ~hostile
    killed = (deaths.source >= 0) & ~roster.allied[deaths.source, deaths.target]
    mishap = (deaths.source >= 0) & ~killed
    death = weights.death * summed(deaths.match, deaths.target, np.ones(len(deaths.match)))
    own = weights.friendly_damage * summed(damage.match[friendly], damage.source[friendly], damage.amount[friendly])
    own += weights.friendly_kill * summed(deaths.match[mishap], deaths.source[mishap], np.ones(mishap.sum()))
    share = assists.amount / points[assists.target]
    return {
        "damage": boost
        * (weights.damage * summed(damage.match[hostile], damage.source[hostile], damage.amount[hostile])),
        "kill": boost * (weights.kill * summed(deaths.match[killed], deaths.source[killed], np.ones(killed.sum()))),
        "assist": boost * (weights.assist * summed(assists.match, assists.source, share)),
        "death": np.where(fought_inside, weights.contested_death, 1.0) * death,
        "friendly": own,
    }
