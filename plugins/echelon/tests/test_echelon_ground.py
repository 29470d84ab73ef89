"""Maps: fair, walkable, a function of the seed; cells are found by an odd function."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from esper_echelon.simulation.ground import FILL, FLOOR, LAVA, OBSTACLE, SMALLEST, WATER, Grounds
from esper_echelon.simulation.roster import Roster

SIZES = (SMALLEST, 25, 40, 41, 100)


def drawn(seed: int, size: int, packs: int = 2) -> Grounds:
    grounds = Grounds.none(1, 100, Roster(packs))
    grounds.draw(0, seed, size)
    return grounds


def walked(heights: NDArray[np.int8]) -> set[tuple[int, int]]:
    """What can be walked to from the centre, cell by cell."""
    centre = (len(heights) // 2,) * 2
    seen, ahead = {centre}, deque([centre])
    while ahead:
        y, x = ahead.popleft()
        for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if near not in seen and all(0 <= at < len(heights) for at in near) and heights[near] == 0:
                seen.add(near)
                ahead.append(near)
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_maps_are_fair_and_walkable(size: int) -> None:
    for seed in range(12):
        grounds = drawn(seed, size)
        heights, kinds = grounds.heights[0, :size, :size], grounds.kinds[0, :size, :size]
        for part in (heights, kinds):
            assert np.array_equal(part, part[::-1, ::-1])
        assert set(np.unique(heights)) <= {0, *range(OBSTACLE[0], OBSTACLE[1] + 1)}
        assert len(walked(heights)) == np.count_nonzero(heights == 0)
        assert not kinds[heights > 0].any()

        assert np.array_equal(grounds.spawn[0, 0], -grounds.spawn[0, 1])
        assert np.array_equal(grounds.facing[0, 0], -grounds.facing[0, 1])
        assert np.abs(grounds.spawn).max() <= size / 2 - 2.25
        np.testing.assert_allclose(np.linalg.norm(grounds.facing[0], axis=-1), 1)
        ahead = -(grounds.spawn * grounds.facing).sum(-1) / np.linalg.norm(grounds.spawn, axis=-1)
        assert (np.arccos(np.minimum(ahead, 1)) <= 0.15 + 1e-9).all(), "everybody faces the zone"

        at = np.arange(size) - (size - 1) / 2
        zone = at[:, None] ** 2 + at**2 <= grounds.radius[0] ** 2
        gy, gx = grounds.cells(np.zeros(26, np.int64), grounds.spawn[0].reshape(-1, 2))
        for part in (heights, kinds):
            assert not part[zone].any()
            assert not part[gy, gx].any()
        assert 3.75 <= grounds.radius[0] <= min(11.25, size / 2 - 2)
        assert not grounds.zone.any()


def test_pockets_are_filled() -> None:
    heights = drawn(14, 60).heights[0, :60, :60]  # the first seed whose boxes enclose some cells
    assert len(walked(heights)) == np.count_nonzero(heights == 0)


def test_the_widest_mech_gets_to_the_zone() -> None:
    grounds = drawn(11, 40)  # the first seed whose first boxes left too narrow a way
    heights = grounds.heights[0, :40, :40]
    assert heights.any()
    wide = np.zeros_like(heights)
    for y, x in np.argwhere(heights > 0):
        wide[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 1
    reached = walked(wide)
    gy, gx = grounds.cells(np.zeros(26, np.int64), grounds.spawn[0].reshape(-1, 2))
    assert reached.issuperset(zip(gy.tolist(), gx.tolist(), strict=True))


def test_maps_have_what_they_are_said_to_have() -> None:
    grounds = [drawn(seed, 100) for seed in range(30)]
    covered = {kind: np.mean([(ground.kinds == kind).mean() for ground in grounds]) for kind in (WATER, LAVA)}
    covered[FLOOR] = np.mean([(ground.heights > 0).mean() for ground in grounds])
    for kind, share in FILL.items():
        assert 0.6 * share < covered[kind] <= share
    corners = {tuple(np.sign(ground.spawn[0, 0, 0])) for ground in grounds}
    assert len(corners) == 4, "the seed draws the corner"


def test_a_map_is_a_function_of_seed_and_size() -> None:
    many = Grounds.none(3, 64, Roster(1))
    many.draw(1, 5, 64)
    many.draw(0, 6, 40)
    many.draw(1, 7, 40)
    alone = drawn(7, 40, packs=1)
    assert np.array_equal(many.heights[1, :40, :40], alone.heights[0, :40, :40])
    assert not many.heights[1, 40:].any(), "nothing is left of the larger map"
    assert np.array_equal(many.spawn[1], alone.spawn[0])
    assert not np.array_equal(many.heights[0], many.heights[1])


@pytest.mark.parametrize("size", [SMALLEST - 1, 1, 101])
def test_maps_of_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"24 to 100 cells a side here, not {size}"):
        drawn(0, size)


def test_cells_by_hand() -> None:
    even, odd = drawn(0, 40), drawn(0, 41)
    points = np.array([[0.5, -0.5], [-20.0, 19.99], [99.0, -99.0], [1.0, -1.0], [0.0, -3.5], [0.0, 3.5]])
    match = np.zeros(len(points), np.int64)
    gy, gx = even.cells(match, points)
    assert gx.tolist() == [20, 0, 39, 21, 19, 20]
    assert gy.tolist() == [19, 39, 0, 18, 16, 23]
    gy, gx = odd.cells(match, points)
    assert gx.tolist() == [21, 0, 40, 21, 20, 20]
    assert gy.tolist() == [19, 40, 0, 19, 16, 24]


@pytest.mark.parametrize("size", [40, 41])
def test_cells_are_odd_on_borders_too(size: int) -> None:
    quarters = np.arange(-24, 24.25, 0.25)
    points = np.stack(np.meshgrid(quarters, quarters), -1).reshape(-1, 2)
    points = points[points.any(1)]
    grounds, match = drawn(0, size), np.zeros(len(points), np.int64)
    for here, there in zip(grounds.cells(match, points), grounds.cells(match, -points), strict=True):
        assert np.array_equal(here, size - 1 - there)


def test_memory_of_one_match() -> None:
    assert Grounds.none(8, 100, Roster(1)).bytes == 2 * 100 * 100 + 416
