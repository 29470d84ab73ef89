"""What stands between two points: obstacles that are higher than the line of sight, and smoke."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esper_echelon.simulation.clouds import Clouds
from esper_echelon.simulation.ground import Grounds, cell

_BLOCK = 1024
"""Rays that are followed together, which bounds the memory that they take."""

_Rays = NDArray[np.int64]
_Floats = NDArray[np.float64]


def clear(grounds: Grounds, clouds: Clouds, match: _Rays, start: _Floats, end: _Floats) -> NDArray[np.bool_]:
    """Return whether nothing blocks the sight from one point to another, `[R]`.

    An obstacle blocks where the line passes below its height. The cells of both ends do not count: there the mechs
    stand. The way back has the same answer to the last bit, and so has the opposite way over the opposite ground.

    Args:
        grounds: The maps.
        clouds: The smoke; it hides whatever is in it or behind it, at any height.
        match: Where each ray is, `[R]`.
        start: `[R, 3]`, metres from the centre, and height.
        end: `[R, 3]`.
    """
    seen = ~clouds.between(match, start[:, :2], end[:, :2])
    rays = np.flatnonzero(seen)
    if len(rays):
        seen[rays] = ~walled(grounds, match[rays], start[rays], end[rays])
    return seen


def walled(grounds: Grounds, match: _Rays, start: _Floats, end: _Floats) -> NDArray[np.bool_]:
    """Return whether obstacles block the sight, `[R]`; arguments as in `clear`.

    A line enters and leaves every cell where it crosses a border, and in every cell is lowest there: so every crossing
    is looked at, with the cells on both of its sides.
    """
    rays = len(match)
    if rays > _BLOCK:
        blocks = [slice(first, first + _BLOCK) for first in range(0, rays, _BLOCK)]
        return np.concatenate([walled(grounds, match[block], start[block], end[block]) for block in blocks])
    blocked = np.zeros(rays, np.bool_)
    first, last = (np.stack(grounds.cells(match, at[:, :2])[::-1]) for at in (start, end))
    low, high = np.minimum(first, last), np.maximum(first, last)
    count = (high - low).ravel()
    total = int(count.sum())
    if not total:
        return blocked
    # What each crossing needs, for the borders along x, then for those along y.
    width = grounds.largest
    home = match * (width * width)
    start_cell, end_cell = (home + cells[1] * width + cells[0] for cells in (first, last))
    middle, half = (start + end).T / 2, (end - start).T / 2
    slope = half / np.where(half[:2] == 0, 1.0, half[:2])[:, None]  # [along, of what, ray]
    needs = np.empty((13, 2, rays))
    needs[0] = low + 1
    needs[1] = middle[:2]
    needs[2] = middle[1::-1]
    needs[3] = slope[0, 1], slope[1, 0]
    needs[4] = middle[2]
    needs[5] = slope[:, 2]
    needs[6:9] = grounds.grid.take(match, 1)[:, None]
    needs[9], needs[10] = low[::-1], high[::-1]
    needs[11] = home
    needs[12, 0], needs[12, 1] = 1, width
    (border, along, across, across_slope, height, climb, odd, outermost, centre, least, most, base, stride) = np.repeat(
        needs.reshape(13, -1), count, axis=1
    )
    border += np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    line = border - 0.5 - centre
    np.subtract(line, along, out=along)
    across += along * across_slope
    height += along * climb
    beside = cell(across, line, odd, outermost, centre)
    np.clip(beside, least, most, out=beside)  # rounding leads no line beyond its ends
    beside *= width + 1 - stride
    beside += border * stride
    beside += base
    beyond = beside.astype(np.int64)
    before = beyond - stride.astype(np.int64)
    heights = grounds.heights.reshape(-1)
    hit = np.flatnonzero(height < np.maximum(heights[before], heights[beyond]))
    if len(hit):
        ray = np.repeat(np.tile(np.arange(rays), 2), count)[hit]
        for flat in (before[hit], beyond[hit]):
            counts = (flat != start_cell[ray]) & (flat != end_cell[ray]) & (height[hit] < heights[flat])
            blocked[ray[counts]] = True
    return blocked
