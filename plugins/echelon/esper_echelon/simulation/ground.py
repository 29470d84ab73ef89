"""The grounds that matches are fought on: obstacles, water, lava, the zone and where teams begin."""

from __future__ import annotations

from typing import Self

import numpy as np
from attrs import define
from numpy.typing import NDArray

from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ZONE_RADIUS, ZONE_SPREAD

FLOOR, WATER, LAVA = 0, 1, 2
"""Kinds of cells."""

SMALLEST = 24
"""Cells along a side that two formations of two packs need."""

FILL = {FLOOR: 0.06, WATER: 0.04, LAVA: 0.01}
"""Share of the map that boxes of obstacles (on FLOOR), water and lava cover before corners and zone are cleared."""

SIDES = (2, 6)
"""Shortest and longest side of a box, cells."""

OBSTACLE = (2, 6)
"""Lowest and highest obstacle, m: a heavy looks over the lowest, jump jets clear all."""

COLUMNS, SPACING, MARGIN, JITTER, FACING = 5, 3.5, 2.5, 0.25, 0.15
"""Of a formation: columns, metres between mechs and to the edge of the map; metres and rad that are left to chance."""

CLEARING = 0.25
"""Share of the map's side that is cleared in the corners at least."""

_STREAM, _TRIES, _WIDEST = 0, 64, 2
_Cells = NDArray[np.int64]
_Floats = NDArray[np.float64]


@define(eq=False)
class Grounds:
    """The maps of M matches, in arrays that are padded to the largest, `N` cells a side; a cell is a square metre.

    Every map is point-symmetric: turned by half a circle around its centre it is the same, so that no side is better.

    Attributes:
        roster: Whose formations are placed.
        size: int64 `[M]`, cells along a side; 1 until a map is drawn.
        grid: `[3, M]`, what `cell` needs of a map: half a cell where the size is odd, the outermost cell on one side of
            the centre, and the middle of the cells' numbers.
        heights: int8 `[M, N, N]`, 0 where one can walk, else the height of the obstacle, m.
        kinds: int8 `[M, N, N]`: FLOOR, WATER or LAVA.
        zone: `[M, 2]`, its centre, which is that of the map.
        radius: `[M]` of the zone, m.
        spawn: `[M, 2, n, 2]`, where places begin: in the corner that the seed drew, and in the opposite one.
        facing: `[M, 2, n, 2]`, unit vectors.
    """

    roster: Roster
    size: _Cells
    grid: _Floats
    heights: NDArray[np.int8]
    kinds: NDArray[np.int8]
    zone: _Floats
    radius: _Floats
    spawn: _Floats
    facing: _Floats

    @classmethod
    def none(cls, matches: int, largest: int, roster: Roster) -> Self:
        """Return bare grounds that hold maps of up to `largest` cells a side."""
        cells = (matches, largest, largest)
        places = (matches, 2, roster.team_size, 2)
        return cls(
            roster,
            np.ones(matches, np.int64),
            np.array([[0.5], [0.0], [0.0]]) * np.ones(matches),
            np.zeros(cells, np.int8),
            np.zeros(cells, np.int8),
            np.zeros((matches, 2)),
            np.zeros(matches),
            np.zeros(places),
            np.zeros(places),
        )

    @property
    def largest(self) -> int:
        """Cells along a side of the largest map that fits."""
        return self.heights.shape[1]

    @property
    def bytes(self) -> int:
        """Memory that one match takes."""
        arrays = (self.size, self.heights, self.kinds, self.zone, self.radius, self.spawn, self.facing)
        return sum(array.nbytes for array in arrays) // max(1, len(self.size))

    def draw(self, match: int, seed: int, size: int) -> None:
        """Draw the map of a match from its seed.

        Raises:
            ValueError: If formations do not fit into `size` cells, or the map not into the arrays.
        """
        if not SMALLEST <= size <= self.largest:
            raise ValueError(f"a map has {SMALLEST} to {self.largest} cells a side here, not {size}")
        draws = np.random.default_rng((int(seed), _STREAM))
        self.size[match] = size
        self.grid[:, match] = size % 2 / 2, (size - 1) // 2, (size - 1) / 2
        self.radius[match] = min(ZONE_RADIUS * draws.uniform(*ZONE_SPREAD), size / 2 - 2)
        corner = draws.integers(0, 2, 2) * 2 - 1
        turned = bool(draws.integers(2))
        self._place(draws, match, size, corner, turned)
        open_cells = self._open(match, size, corner, turned)
        heights = self._obstacles(draws, match, size, open_cells)
        kinds = np.zeros((size, size), np.int8)
        for kind in (WATER, LAVA):
            pools = _boxes(draws, size, FILL[kind], (1, 1)) > 0
            kinds[pools & open_cells & (heights == 0)] = kind
        for padded, drawn in ((self.heights, heights), (self.kinds, kinds)):
            padded[match] = 0
            padded[match, :size, :size] = drawn

    def cells(self, match: _Cells, xy: _Floats) -> tuple[_Cells, _Cells]:
        """Return the row and the column of the cell that a point lies in, `[...]`; the nearest one for points outside.

        Odd: the opposite point lies in the opposite cell, on the border of two cells too.

        Args:
            match: Broadcasts against `[...]`.
            xy: `[..., 2]`, metres from the centre.
        """
        at = np.stack((xy[..., 1], xy[..., 0]))
        gy, gx = cell(at, at[::-1], *self.grid.take(match, 1)).astype(np.int64)
        return gy, gx

    def _place(self, draws: np.random.Generator, match: int, size: int, corner: _Cells, turned: bool) -> None:
        row, column = np.divmod(np.arange(self.roster.team_size), COLUMNS)
        depth = MARGIN + SPACING * np.stack((row, column) if turned else (column, row), -1)
        at = corner * (size / 2 - depth) + draws.uniform(-JITTER, JITTER, depth.shape)
        angle = draws.uniform(-FACING, FACING, len(at))
        ahead = (self.zone[match] - at) / np.hypot(at[:, 0], at[:, 1])[:, None]
        sine, cosine = np.sin(angle), np.cos(angle)
        facing = np.stack((ahead[:, 0] * cosine - ahead[:, 1] * sine, ahead[:, 0] * sine + ahead[:, 1] * cosine), -1)
        self.spawn[match] = at, -at
        self.facing[match] = facing, -facing

    def _open(self, match: int, size: int, corner: _Cells, turned: bool) -> NDArray[np.bool_]:
        """Where obstacles and pools may be: neither in the corners of the teams nor in the zone."""
        rows = -(-self.roster.team_size // COLUMNS)
        columns = min(COLUMNS, self.roster.team_size)
        sides = [max(CLEARING * size, 2 * MARGIN + SPACING * (count - 1)) for count in (columns, rows)]
        along, across = sides[::-1] if turned else sides
        at = np.arange(size) - (size - 1) / 2
        x, y = (at * corner[0])[None, :], (at * corner[1])[:, None]
        cleared = (x > size / 2 - along) & (y > size / 2 - across)
        zone = x**2 + y**2 <= (self.radius[match] + 1) ** 2
        open_cells: NDArray[np.bool_] = ~(cleared | cleared[::-1, ::-1] | zone)
        return open_cells

    def _obstacles(
        self, draws: np.random.Generator, match: int, size: int, open_cells: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        """Return obstacles between which the widest mech walks from every place to the zone; none after many tries."""
        centre = np.array([size // 2, size // 2])
        gy, gx = self.cells(np.array(match), self.spawn[match, 0])
        for _ in range(_TRIES):
            heights = _boxes(draws, size, FILL[FLOOR], OBSTACLE) * open_cells
            if _reached(~_wider(heights > 0, _WIDEST), centre)[gy, gx].all():
                closed = ~_reached(heights == 0, centre)
                heights[closed & (heights == 0)] = OBSTACLE[0]
                return heights
        return np.zeros((size, size), np.int8)


def cell(at: _Floats, other: _Floats, odd: _Floats, last: _Floats, middle: _Floats) -> _Floats:
    """Return the whole numbers of cells along one axis, of coordinates from the centre.

    Args:
        at: Coordinates.
        other: Those along the other axis, whose sign decides where `at` is zero.
        odd: Of the map: row 0 of `Grounds.grid`.
        last: Row 1.
        middle: Row 2.
    """
    cells = np.abs(at)
    cells += odd
    np.floor(cells, out=cells)
    np.minimum(cells, last, out=cells)
    cells += 0.5 - odd
    np.copysign(cells, np.where(at == 0, other, at), out=cells)
    cells += middle
    return cells


def _boxes(draws: np.random.Generator, size: int, share: float, values: tuple[int, int]) -> NDArray[np.int8]:
    """Return boxes and their opposites on a map of zeros, with values from the range."""
    count = max(1, round(share * size**2 / (2 * (sum(SIDES) / 2) ** 2)))
    corners = draws.integers(0, size - SIDES[0], (count, 2)).tolist()
    sides = draws.integers(SIDES[0], SIDES[1] + 1, (count, 2)).tolist()
    filled = draws.integers(values[0], values[1] + 1, count).tolist()
    boxes = np.zeros((size, size), np.int8)
    for (y, x), (height, width), value in zip(corners, sides, filled, strict=True):
        boxes[y : y + height, x : x + width] = value
    return np.maximum(boxes, boxes[::-1, ::-1])


def _wider(blocked: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Return the cells from which something blocked is less than so many cells away, along each axis."""
    size = len(blocked)
    padded = np.pad(blocked, by)
    rows = np.logical_or.reduce([padded[shift : shift + size] for shift in range(2 * by + 1)])
    wide: NDArray[np.bool_] = np.logical_or.reduce([rows[:, shift : shift + size] for shift in range(2 * by + 1)])
    return wide


def _reached(free: NDArray[np.bool_], start: _Cells) -> NDArray[np.bool_]:
    """Return what can be reached over free cells: whole runs of rows and of columns at a time, until nothing is new."""
    size = len(free)
    first = np.arange(size) * (size + 1)
    runs = np.cumsum(~free, 1) + first[:, None], np.cumsum(~free, 0) + first
    reached = np.zeros_like(free)
    reached[tuple(start)] = True
    count = 0
    while count != (count := int(np.count_nonzero(reached))):
        for run in runs:
            lit = np.zeros(size * (size + 1), np.bool_)
            lit[run[reached]] = True
            reached = lit[run] & free
    return reached
