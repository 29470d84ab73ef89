"""Who sees whom."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from esper_echelon.simulation.mechs import Flags, Mechs
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.sensors import quality, square_distance
from esper_echelon.simulation.sight import walled
from esper_echelon.simulation.tables import (
    CHASSIS,
    HOT,
    LOCK_QUALITY,
    RADAR_RANGE,
    SUITES,
    VISIBILITIES,
)

if TYPE_CHECKING:
    from esper_echelon.simulation.arena import Arena

_HEIGHTS = np.array([chassis.height for chassis in CHASSIS])
_RANGE_FACTORS = np.array([suite.range_factor for suite in SUITES])


def painted(mechs: Mechs) -> Flags:
    """Return who may use a paint lock on whom, `[M, A, A]`: the pack's own paint, and the squad leader's."""
    wet = np.asarray(mechs.paint > 0)
    shown = np.zeros_like(wet)
    if wet.any():
        for users, painters in _sharers(mechs.roster):
            shown[:, users] = wet[:, painters].any(1, keepdims=True)
    return shown


def visible(arena: Arena) -> Flags:
    """Return who sees whom, `[M, A, A]`: rows see columns. Nobody sees the dead, or is a contact of their own.

    In `partial`, one is seen who is painted (with a quality of LOCK_QUALITY), within radar range, in free sight, or,
    unless smoke is between, is an enemy that is hot or emits. Quality and suite scale the radar's range.

    Raises:
        ValueError: If the arena's visibility is none of VISIBILITIES.
    """
    if arena.visibility not in VISIBILITIES:
        raise ValueError(f"visibility {arena.visibility!r}, expected one of {', '.join(VISIBILITIES)}")
    mechs = arena.mechs
    alive = mechs.alive
    pairs = alive[:, :, None] & alive[:, None, :]
    places = np.arange(alive.shape[1])
    pairs[:, places, places] = False
    if arena.visibility == "full":
        return pairs
    sharp = quality(mechs)
    reach = RADAR_RANGE * sharp * _RANGE_FACTORS[mechs.roster.suite]
    apart = square_distance(mechs.position, mechs.position)
    seen = apart <= (reach * reach)[:, :, None]
    seen |= painted(mechs) & (sharp >= LOCK_QUALITY)[:, :, None]
    seen &= pairs
    # What radar and paint leave open, both ways at once: sight is symmetric.
    open_pairs = pairs & ~seen
    match, one, other = np.nonzero(np.triu(open_pairs | open_pairs.swapaxes(1, 2)))
    start, end = mechs.position[match, one], mechs.position[match, other]
    smokeless = ~arena.clouds.between(match, start, end)
    match, one, other = match[smokeless], one[smokeless], other[smokeless]
    loud = (mechs.heat > HOT * mechs.capacity) | mechs.ecm | mechs.eccm
    hostile = mechs.roster.team[one] != mechs.roster.team[other]
    seen[match, one, other] |= hostile & loud[match, other]
    seen[match, other, one] |= hostile & loud[match, one]
    dark = ~(seen[match, one, other] & seen[match, other, one])
    match, one, other = match[dark], one[dark], other[dark]
    tops = mechs.altitude + _HEIGHTS[mechs.roster.chassis]
    rays = (np.column_stack((mechs.position[match, who], tops[match, who])) for who in (one, other))
    found = ~walled(arena.grounds, match, *rays)
    seen[match, one, other] |= found
    seen[match, other, one] |= found
    return seen


@lru_cache
def _sharers(roster: Roster) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return groups of places that use the same paint, and whose paint it is."""
    groups: dict[bytes, list[int]] = {}
    for place, shares in enumerate(roster.shares_paint):
        groups.setdefault(shares.tobytes(), []).append(place)
    return [(np.array(users), np.flatnonzero(roster.shares_paint[users[0]])) for users in groups.values()]
