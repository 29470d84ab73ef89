"""Chance without a generator: numbers that are a function of a match's seed and of what they are for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNIT = 2.0**-53
"""Between two neighbours among the numbers in [0, 1)."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def noise(
    seeds: NDArray[np.uint64], steps: NDArray[np.int64], sides: NDArray[np.int64], rows: int, width: int
) -> NDArray[np.float64]:
    """Return numbers in [0, 1), `[R·rows, width]`, for the rows of one side of R matches.

    A number depends on its match's seed and step, the side, the place among the rows, and which of the numbers it is,
    and on nothing else. So whoever changes sides takes the other side's. It is the generator splitmix64 (Steele, Lea
    and Flood 2014), read at a counter.

    Args:
        seeds: Of each match, `[R]`.
        steps: That each match has taken, `[R]`.
        sides: 0 or 1, `[R]`.
        rows: Rows of a match and side.
        width: Numbers for each.
    """
    match = _mixed(seeds + (steps.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    place = 2 * np.arange(rows, dtype=np.uint64) + sides[:, None].astype(np.uint64) + np.uint64(1)
    row = _mixed(match[:, None] + place * _GOLDEN)
    bits = _mixed(row[:, :, None] + np.arange(1, width + 1, dtype=np.uint64) * _GOLDEN)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * UNIT).reshape(-1, width)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return np.asarray(bits ^ (bits >> np.uint64(31)))
