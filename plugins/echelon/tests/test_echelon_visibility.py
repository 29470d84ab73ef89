"""Sensors: their quality, and who sees whom; numbers are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from esper_echelon.perception.visibility import painted, visible
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.sensors import quality

SCOUT, LIGHT, MEDIUM, HEAVY, LEADER = 0, 2, 3, 4, 5
ENEMY = 6


def arena(places: Mapping[int, tuple[float, float]], visibility: str = "partial") -> Arena:
    """A match on a bare map of 100 m in which only some places live."""
    made = Arena(Roster(1), 1, visibility=visibility)
    made.begin(0, 0, 100, 1, 0)
    made.grounds.heights[:] = 0
    made.mechs.alive[0] = False
    for place, position in places.items():
        made.mechs.alive[0, place] = True
        made.mechs.position[0, place] = position
    return made


def wall(made: Arena, x: int) -> None:
    made.grounds.heights[0, :, 50 + x] = 6


@pytest.mark.parametrize(
    ("viewer", "reach"), [(SCOUT, 21.0), (LIGHT, 16.8), (MEDIUM, 14.0), (HEAVY, 11.2), (LEADER, 14.0)]
)
@pytest.mark.parametrize("target", [1, ENEMY + HEAVY])
def test_radar_sees_through_walls_as_far_as_the_suite_goes(viewer: int, reach: float, target: int) -> None:
    made = arena({viewer: (0, 0), target: (reach - 0.01, 0)})
    wall(made, 3)
    assert visible(made)[0, viewer, target]
    made.mechs.position[0, target, 0] = reach + 0.01
    assert not visible(made)[0, viewer, target]


def test_radar_is_not_mutual_but_sight_is() -> None:
    made = arena({SCOUT: (0, 0), ENEMY + HEAVY: (20, 0)})
    assert visible(made)[0, SCOUT, ENEMY + HEAVY]
    assert visible(made)[0, ENEMY + HEAVY, SCOUT]
    wall(made, 10)
    assert visible(made)[0, SCOUT, ENEMY + HEAVY]
    assert not visible(made)[0, ENEMY + HEAVY, SCOUT]


def test_the_tall_look_over_low_walls() -> None:
    made = arena({HEAVY: (0, 0), ENEMY + HEAVY: (30, 0), ENEMY: (0, 30)})
    made.grounds.heights[0, 40:60, 65] = 3
    made.grounds.heights[0, 65, 40:60] = 3
    assert visible(made)[0, HEAVY, ENEMY + HEAVY]
    assert not visible(made)[0, HEAVY, ENEMY], "from 4 m down to 1.8 m the line falls to 2.83 m there"
    made.mechs.altitude[0, ENEMY] = 0.5
    assert visible(made)[0, HEAVY, ENEMY], "its jump jets lift it so that the line stays above 3.09 m"


def hot(made: Arena, place: int) -> None:
    made.mechs.heat[0, place] = 0.81 * made.mechs.capacity[place]


def emitting(made: Arena, place: int) -> None:
    made.mechs.eccm[0, place] = True


@pytest.mark.parametrize("betrays", [hot, emitting])
def test_heat_and_radiation_betray_enemies(betrays: Callable[[Arena, int], None]) -> None:
    friend, enemy = HEAVY, ENEMY + HEAVY
    made = arena({MEDIUM: (0, 0), friend: (30, 0), enemy: (30, 5)})
    wall(made, 10)
    assert not visible(made)[0, MEDIUM].any()
    betrays(made, friend)
    betrays(made, enemy)
    assert np.flatnonzero(visible(made)[0, MEDIUM]).tolist() == [enemy]
    assert not visible(made)[0, enemy, MEDIUM]
    betrays(made, MEDIUM)
    assert visible(made)[0, enemy, MEDIUM]
    made.clouds.add(np.array([0]), np.array([[20.0, 3.0]]))
    assert not visible(made)[0, MEDIUM].any(), "not through smoke"


def test_heat_of_four_fifths_betrays_nobody() -> None:
    made = arena({MEDIUM: (0, 0), ENEMY: (30, 0)})
    wall(made, 10)
    made.mechs.heat[0, ENEMY] = 0.8 * 75
    assert not visible(made)[0, MEDIUM, ENEMY]


def test_smoke_hides_from_eyes_but_not_from_radar() -> None:
    made = arena({MEDIUM: (0, 0), ENEMY: (12, 0), ENEMY + 1: (30, 0)})
    assert visible(made)[0, MEDIUM, [ENEMY, ENEMY + 1]].all()
    made.clouds.add(np.array([0]), np.array([[6.0, 0.0]]))
    assert visible(made)[0, MEDIUM, [ENEMY, ENEMY + 1]].tolist() == [True, False]


def test_paint_shows_its_target_to_the_pack() -> None:
    made = arena({SCOUT: (-20, 0), MEDIUM: (0, 0), ENEMY: (30, 0), ENEMY + 1: (-2, 9)})
    wall(made, 10)
    made.mechs.paint[0, SCOUT, ENEMY] = 0.05
    assert visible(made)[0, MEDIUM, ENEMY]
    made.mechs.ecm[0, ENEMY + 1] = True  # 9.22 m away: quality 1 − 0.85 · 0.8156 = 0.307, below 0.70
    assert not visible(made)[0, MEDIUM, ENEMY]


def test_paint_is_shared_by_the_pack_and_the_squad_leader() -> None:
    made = Arena(Roster(2), 1)
    made.begin(0, 0, 40, 2, 0)
    made.mechs.paint[0, 0, 20] = made.mechs.paint[0, 12, 21] = 1.0
    shown = painted(made.mechs)[0]
    assert np.flatnonzero(shown[:, 20]).tolist() == [0, 1, 2, 3, 4, 5, 12]
    assert np.flatnonzero(shown[:, 21]).tolist() == list(range(13))


def test_quality() -> None:
    made = arena({MEDIUM: (0, 0), ENEMY: (25, 0), ENEMY + 1: (0, 40), SCOUT: (0, -25), ENEMY + 2: (0, 1)})
    made.mechs.alive[0, ENEMY + 2] = False
    mechs = made.mechs
    assert quality(mechs)[0, MEDIUM] == 1
    mechs.ecm[0, ENEMY] = mechs.ecm[0, ENEMY + 1] = True
    assert quality(mechs)[0, MEDIUM] == pytest.approx(0.575)  # the nearer counts: 1 − 0.85 · 0.5
    assert quality(mechs)[0, ENEMY] == 1, "nobody jams friends"
    mechs.eccm[0, SCOUT] = True
    assert quality(mechs)[0, MEDIUM] == pytest.approx(0.9)  # + 0.65 · 0.5
    mechs.ecm[0] = False
    assert quality(mechs)[0, MEDIUM] == pytest.approx(1.325)
    assert quality(mechs)[0, SCOUT] == 1.5  # not 1.65
    mechs.position[0, MEDIUM] = (0, 30)  # 55 m from the scout
    assert quality(mechs)[0, MEDIUM] == 1
    mechs.ecm[0, ENEMY + 2] = True
    assert quality(mechs)[0, MEDIUM] == 1, "nor do the dead"
    mechs.heat[0, MEDIUM] = 100.1
    assert quality(mechs)[0, MEDIUM] == 0.25, "shut down"
    mechs.ecm[0, ENEMY], mechs.eccm[0, SCOUT] = True, False
    mechs.position[0, SCOUT] = (25, 0)
    assert quality(mechs)[0, SCOUT] == 0.25, "not 0.15"


@pytest.mark.parametrize("visibility", ["full", "partial"])
def test_the_dead_are_out_of_sight(visibility: str) -> None:
    made = arena({MEDIUM: (0, 0), SCOUT: (1, 0), ENEMY: (2, 0)}, visibility)
    living = made.mechs.alive[0]
    expected = living[:, None] & living & ~np.eye(12, dtype=bool)
    assert np.array_equal(visible(made)[0], expected)


def test_full_visibility_sees_through_everything() -> None:
    made = arena({MEDIUM: (0, 0), ENEMY: (40, 0)}, "full")
    wall(made, 3)
    assert visible(made)[0, MEDIUM, ENEMY]


def test_another_visibility_is_refused() -> None:
    with pytest.raises(ValueError, match="visibility 'foggy', expected one of full, partial"):
        visible(arena({}, "foggy"))
