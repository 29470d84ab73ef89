"""Obstacles and smoke hide what is behind them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from esper_echelon.simulation.clouds import Clouds
from esper_echelon.simulation.ground import Grounds
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.sight import clear

RNG = np.random.default_rng(20)


def bare(matches: int = 1, size: int = 40) -> tuple[Grounds, Clouds]:
    grounds = Grounds.none(matches, size, Roster(1))
    for match in range(matches):
        grounds.draw(match, match, size)
    return grounds, Clouds.none(matches)


def sees(grounds: Grounds, clouds: Clouds, start: tuple[float, ...], end: tuple[float, ...]) -> bool:
    there, back = (
        bool(clear(grounds, clouds, np.array([0]), np.array([a]), np.array([b]))[0])
        for a, b in ((start, end), (end, start))
    )
    assert there == back
    return there


@pytest.mark.parametrize(
    ("start", "end", "free"),
    [
        ((-5, 0.5, 2), (8, 0.5, 2), False),  # straight through the obstacle of 3 m at x 2 to 3
        ((-5, 0.5, 3), (4, 0.5, 3), True),  # over it, just
        ((-5, 0.5, 2.9), (4, 0.5, 2.9), False),
        ((-5, 1.5, 2), (8, 1.5, 2), True),  # past it
        ((-5, 0.5, 1), (8, 0.5, 4.8), False),  # 3.05 m high at x = 2, but 3.92 m at x = 5, where one of 4 m stands
        ((-5, 0.5, 2), (8, 0.5, 8), True),  # 5.2 m at x = 2, 6.6 m at x = 5
        ((2.5, 0.5, 1), (4.5, 0.5, 1), True),  # from the top of one to beside the other
        ((0.5, 0.5, 1), (2.5, 0.5, 1), True),  # the last cell does not count
        ((0.5, -1.5, 1), (4.5, 0.5, 1), True),  # past a corner
        ((0.5, -0.5, 1), (4.2, 1.7, 1), False),  # through it diagonally
        ((0.5, 0.5, 1), (0.6, 0.6, 1), True),  # within one cell
        ((0.5, 0.5, 1), (0.5, 0.5, 1), True),
    ],
)
def test_obstacles_block_below_their_height(start: tuple[float, ...], end: tuple[float, ...], free: bool) -> None:
    grounds, clouds = bare()
    grounds.heights[0] = 0
    grounds.heights[0, 20, 22], grounds.heights[0, 20, 25] = 3, 4
    assert sees(grounds, clouds, start, end) is free


def rays(size: int, count: int, matches: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    start, end = (RNG.uniform(-size / 2, size / 2, (count, 3)) for _ in range(2))
    start[: count // 4, :2], end[: count // 4, :2] = (np.round(part[: count // 4, :2]) for part in (start, end))
    start[:, 2], end[:, 2] = RNG.uniform(1, 5, (2, count))
    return RNG.integers(0, matches, count), start, end


@pytest.mark.parametrize("size", [40, 41])
def test_sight_is_the_same_for_the_way_back_and_for_the_opposite(size: int) -> None:
    grounds, clouds = bare(4, size)
    clouds.add(np.repeat(np.arange(4), 2), np.array([[9.0, -7.0], [-9.0, 7.0]] * 4))
    match, start, end = rays(size, 2000, 4)  # more than one block of rays
    seen = clear(grounds, clouds, match, start, end)
    opposite = np.array([-1.0, -1.0, 1.0])
    assert 0.2 < seen.mean() < 0.9
    assert np.array_equal(seen, clear(grounds, clouds, match, end, start))
    assert np.array_equal(seen, clear(grounds, clouds, match, start * opposite, end * opposite))


def test_sight_is_that_of_looking_at_every_point() -> None:
    grounds, clouds = bare(4)
    match, start, end = rays(40, 400, 4)
    seen = clear(grounds, clouds, match, start, end)
    along = np.linspace(0, 1, 5001)[:, None]
    for ray in range(100, 400):
        points = start[ray] + (end[ray] - start[ray]) * along
        gy, gx = grounds.cells(np.full(len(points), match[ray]), points[:, :2])
        ends = ((gy == gy[0]) & (gx == gx[0])) | ((gy == gy[-1]) & (gx == gx[-1]))
        assert seen[ray] != (~ends & (points[:, 2] < grounds.heights[match[ray], gy, gx])).any()


@pytest.mark.parametrize(
    ("start", "end", "free"),
    [
        ((-10, 3.9), (10, 3.9), False),  # the cloud of 4 m around the centre
        ((-10, 4.1), (10, 4.1), True),
        ((-10, 0), (-4.1, 0), True),  # before it
        ((-10, 0), (-3.9, 0), False),  # an end in it
        ((1, 1), (1, 1), False),
        ((6, 6), (6, 6), True),
    ],
)
def test_smoke_hides(start: tuple[float, float], end: tuple[float, float], free: bool) -> None:
    grounds, clouds = bare(2)
    grounds.heights[:] = 0
    clouds.add(np.array([0]), np.zeros((1, 2)))
    assert sees(grounds, clouds, (*start, 9.0), (*end, 9.0)) is free
    assert clear(grounds, clouds, np.array([1]), np.zeros((1, 3)), np.ones((1, 3))).all(), "only in its own match"


def test_smoke_stays_ten_seconds() -> None:
    clouds, around = Clouds.none(2), (np.array([1]), np.zeros((1, 2)), np.ones((1, 2)))
    clouds.add(np.array([1, 1]), np.array([[0.0, 0.0], [9.0, 9.0]]))
    clouds.left[1, 1] = 99
    for step in range(200):
        assert clouds.between(*around), step
        clouds.pass_time(0.05)
    assert not clouds.between(*around)


def test_clouds_are_kept_apart_grow_and_go_on() -> None:
    clouds = Clouds.none(3)
    clouds.add(np.array([2, 0, 2]), np.array([[1.0, 0], [2, 0], [3, 0]]))
    clouds.pass_time(0.1)
    clouds.add(np.full(20, 2), np.zeros((20, 2)))
    assert np.count_nonzero(clouds.left, axis=1).tolist() == [1, 0, 22]
    assert clouds.x[2, :2].tolist() == [1, 3]
    again = Clouds.none(3)
    again.load_state(json.loads(json.dumps(clouds.state())))
    assert again.state() == clouds.state()
    again.clear(2)
    assert np.count_nonzero(again.left, axis=1).tolist() == [1, 0, 0]
